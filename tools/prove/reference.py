"""A model of ours in transformers: the same weights, dequantised to float32. Needs torch and transformers.

tools/prove uses all of it, tools/compare only `transformers_config`.
"""

from collections.abc import Iterator

import numpy as np
import torch
from transformers import (
    DynamicCache,
    VoxtralRealtimeConfig,
    VoxtralRealtimeFeatureExtractor,
    VoxtralRealtimeForConditionalGeneration,
)

from voxtab.config import MEL_BINS, SAMPLE_RATE, SAMPLES_PER_TOKEN, STATES_PER_TOKEN, ModelConfig, Schedule, Stack
from voxtab.native.models import LocalModel
from voxtab.weights.dialects import HUGGING_FACE, Renaming

ROWS = 2048  # positions at once: attention's memory grows with their square


def transformers_config(config: ModelConfig) -> VoxtralRealtimeConfig:
    def stack(stack: Stack) -> dict:
        return {
            "num_hidden_layers": stack.layers,
            "hidden_size": stack.width,
            "intermediate_size": stack.hidden,
            "num_attention_heads": stack.heads,
            "num_key_value_heads": stack.kv_heads,
            "head_dim": stack.head_dim,
            "sliding_window": stack.window,
            "rms_norm_eps": stack.epsilon,
            "rope_parameters": {"rope_type": "default", "rope_theta": stack.rope_base},
        }

    return VoxtralRealtimeConfig(
        audio_config={"model_type": "voxtral_realtime_encoder", "num_mel_bins": MEL_BINS} | stack(config.encoder),
        text_config={"model_type": "voxtral_realtime_text", "vocab_size": config.vocabulary} | stack(config.decoder),
    )


class Reference:
    """VoxtralRealtimeForConditionalGeneration with the weights of `found`: eager, on a torch device, without TF32."""

    def __init__(self, found: LocalModel, device: str, rows: int = ROWS):
        torch.set_grad_enabled(False)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.device, self._rows = device, rows
        config = transformers_config(found.config)
        config._attn_implementation = "eager"
        with torch.device(device):
            self._model = VoxtralRealtimeForConditionalGeneration(config).eval()
        self._load(found)
        self._rotary = [
            (stack.rotary_emb, stack.rotary_emb.forward, ours.rope_base, ours.head_dim)
            for stack, ours in (
                (self._model.model.audio_tower, found.config.encoder),
                (self._model.model.language_model, found.config.decoder),
            )
        ]

    def use_angles(self, precision: str) -> None:
        """Compute RoPE's angles in 'float64', or in 'float32' as transformers does.

        The error of float32 angles grows with the position: 2e-3 rad at the encoder's position 35000.
        """
        for rotary, original, base, head_dim in self._rotary:
            frequencies = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64, device=self.device) / head_dim)

            def exact(x, position_ids, frequencies=frequencies):
                angles = position_ids[..., None].double() * frequencies
                angles = torch.cat([angles, angles], -1)
                return angles.cos().to(x.dtype), angles.sin().to(x.dtype)

            rotary.forward = exact if precision == "float64" else original

    def audio_embeddings(self, samples: np.ndarray, schedule: Schedule) -> torch.Tensor:
        """[tokens, width] of the whole padded stream (spec 2.2)."""
        behind = -len(samples) % SAMPLES_PER_TOKEN + schedule.right_silence_tokens * SAMPLES_PER_TOKEN
        stream = np.concatenate([np.zeros(schedule.left_silence_tokens * SAMPLES_PER_TOKEN), samples, np.zeros(behind)])
        frames = VoxtralRealtimeFeatureExtractor()(
            stream.astype(np.float32), sampling_rate=SAMPLE_RATE, return_tensors="pt", return_attention_mask=False
        )["input_features"]
        tower, states = self._model.model.audio_tower, []
        x = tower.embedder(frames.to(self.device), None)
        cache = DynamicCache(config=self._model.config.audio_config)
        for first in range(0, x.shape[1], self._rows):
            states.append(
                tower(
                    inputs_embeds=x[:, first : first + self._rows], past_key_values=cache, use_cache=True
                ).last_hidden_state
            )
        states = torch.cat(states, 1)[0]
        return self._model.model.multi_modal_projector(states.reshape(-1, STATES_PER_TOKEN * states.shape[1]))

    def logits(self, audio: torch.Tensor, tokens: list[int], delay_tokens: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yields (first position, logits [positions, vocabulary]) for ROWS positions at a time.

        The input of a position is its audio embedding [width] plus the embedding of its token.
        """
        decoder = self._model.model.language_model
        x = (audio + decoder.embed_tokens(torch.tensor(tokens, device=self.device)))[None]
        condition = self._model.model.time_embedding(torch.full((1,), float(delay_tokens), device=self.device))[None]
        cache = DynamicCache(config=self._model.config.text_config)
        for first in range(0, len(tokens), self._rows):
            states = decoder(
                inputs_embeds=x[:, first : first + self._rows], past_key_values=cache, use_cache=True, t_cond=condition
            )
            yield first, self._model.lm_head(states.last_hidden_state[0])

    def _load(self, found: LocalModel) -> None:
        parameters = dict(self._model.named_parameters())  # the tied head appears once
        new_name = Renaming(HUGGING_FACE)
        renamed = {new_name(name): parameter for name, parameter in parameters.items()}
        if missing := found.directory.tensors.keys() ^ renamed.keys():
            raise AssertionError(f"transformers and this model differ in tensors: {sorted(missing)[:3]}")
        for name, parameter in renamed.items():
            tensor = found.directory.tensors[name]
            raw = torch.frombuffer(bytearray(found.source.read(tensor.offset, tensor.nbytes)), dtype=torch.uint8).to(
                self.device
            )
            values = _values(tensor.type, raw).view(tensor.shape)
            if not found.config.half_rope and (".attention.wq." in name or ".attention.wk." in name):
                stack = found.config.decoder if name.startswith("layers.") else found.config.encoder
                values = _in_halves(values, stack)
            parameter.copy_(values)


def _values(type: str, raw: torch.Tensor) -> torch.Tensor:
    if type != "Q4_0":
        return raw.view({"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[type]).float()
    blocks = raw.view(-1, 18)
    scales = blocks[:, :2].contiguous().view(torch.float16).float()
    return (torch.cat([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1).float() - 8) * scales


def _in_halves(values: torch.Tensor, stack: Stack) -> torch.Tensor:
    """Reorders each head's rows from Mistral's pairs (2j, 2j + 1) to transformers' (j, j + head_dim / 2)."""
    pairs = values.view(-1, stack.head_dim // 2, 2, *values.shape[1:])
    return pairs.transpose(1, 2).reshape(values.shape)
