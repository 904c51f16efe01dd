"""Files, folders and addresses, transcribed one after another."""

import json
import re
import zipfile
from pathlib import Path

from playwright.sync_api import expect

from web.fake_engine import MODEL, SECOND, answer, at, calls, drop, drop_paths, fed, hear, page_on, wait_for, wav

BAD = wav(bytes(320), rate=8)
LOUD = wav(b"\0\x20\0\xe0" * 8000)  # nothing is to say about it


def rows(page):
    """[name, state] of each file."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#queue-list li")]
            .map(row => [row.querySelector("span").textContent, row.dataset.state])"""
    )


def expect_rows(page, *expected):
    for index, (name, state) in enumerate(expected):
        row = at(page, "queue-list").locator("li").nth(index)
        expect(row).to_contain_text(name)
        expect(row).to_have_attribute("data-state", state)
    expect(at(page, "queue-list").locator("li")).to_have_count(len(expected))


def press(page, label, name):
    page.get_by_role("button", name=f"{label}: {name}").click()


def more(page, name):
    """Show a row's other buttons."""
    press(page, "More", name)
    expect(page.get_by_role("button", name=f"More: {name}")).to_have_attribute("aria-expanded", "true")


def seconds(*names, long=0):
    return [(name, wav(bytes(32000 if index else 32000 + long))) for index, name in enumerate(names)]


def test_many_files_in_order_each_with_its_texts(browser, url):
    with page_on(browser, url) as page:
        drop(page, *seconds("part 10.wav", "part 2.wav"), ("bad.wav", BAD))
        expect(at(page, "queue-summary")).to_have_text("2 done, 1 failed")
        expect_rows(page, ("bad.wav", "failed"), ("part 2.wav", "done"), ("part 10.wav", "done"))
        wait_for(page, "done")
        expect(at(page, "status")).to_have_text("2 of 3 files are done, 1 failed.")
        assert len(calls(page, "finish")) == 2
        expect(at(page, "queue-list")).to_contain_text("bad.wav says that its rate is 8 Hz")
        # One button of a row is in sight, and the others of one row at a time.
        expect(at(page, "queue-list").get_by_role("button", name="Save")).to_have_count(2)
        expect(at(page, "queue-list").get_by_role("button", name="Remove")).to_have_count(1)  # of the one that failed
        more(page, "part 10.wav")
        more(page, "part 2.wav")
        expect(page.get_by_role("button", name="Save .srt: part 10.wav")).to_be_hidden()
        with page.expect_download() as download:
            press(page, "Save .srt", "part 2.wav")
        assert download.value.suggested_filename == "part 2.srt"
        assert download.value.path().read_text(encoding="utf-8").startswith("1\n00:00:00,100")
        with page.expect_download() as download:
            press(page, "Save .txt", "part 10.wav")
        assert download.value.path().read_text(encoding="utf-8") == "Hello tab. It works.\n"
        with page.expect_download() as download:
            at(page, "save-all-srt").click()
        assert re.fullmatch(r"Texts \d{4}-\d\d-\d\d \d\d\.\d\d\.zip", download.value.suggested_filename)
        with zipfile.ZipFile(download.value.path()) as texts:
            assert texts.namelist() == ["part 2.srt", "part 10.srt"]
            assert texts.read("part 10.srt").startswith(b"1\n00:00:00,100")
        press(page, "Remove", "bad.wav")
        expect(page.get_by_role("button", name="Save .txt: part 2.wav")).to_be_focused()  # it has the row's place
        expect_rows(page, ("part 2.wav", "done"), ("part 10.wav", "done"))
        expect(at(page, "sessions-list").locator("li")).to_have_count(2)
        # Their texts are read from the list, as they were edited. The one that is shown is marked.
        shown = at(page, "queue-list").locator("[aria-current=true]")
        expect(shown).to_contain_text("part 10.wav")
        press(page, "Open", "part 2.wav")
        expect(shown).to_contain_text("part 2.wav")
        expect(at(page, "reading-title")).to_have_text("part 2.wav")
        expect(at(page, "play")).to_be_visible()
        at(page, "edit").click()
        page.keyboard.type("Well.")
        press(page, "Open", "part 10.wav")
        expect(shown).to_contain_text("part 10.wav")
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        press(page, "Open", "part 2.wav")
        expect(at(page, "transcript")).to_have_text("Well. Hello tab. It works.")
        # At the end, the first that failed is in view.
        drop(page, ("bad.wav", BAD), *seconds(*(f"x {n}.wav" for n in range(5))))
        expect(at(page, "status")).to_have_text("7 of 8 files are done, 1 failed.")
        expect(page.get_by_role("button", name="Try again: bad.wav")).to_be_in_viewport()
        expect(shown).to_contain_text("x 4.wav")
        more(page, "x 4.wav")
        expect(page.get_by_role("button", name="Remove: x 4.wav")).to_be_in_viewport(ratio=1)


def test_how_it_ended_in_hindi(browser, url):
    """What is said of one file is another form than of several, of those that are done and of those that failed."""
    with page_on(browser, url, locale="hi-IN") as page:
        drop(page, *seconds("a.wav", "b.wav"), ("bad.wav", BAD))
        expect(at(page, "status")).to_have_text("3 में से 2 फ़ाइलें पूरी हुईं, 1 नाकाम रही।")
    with page_on(browser, url, locale="hi-IN") as page:
        drop(page, *seconds("a.wav"), ("bad.wav", BAD), ("worse.wav", BAD))
        expect(at(page, "status")).to_have_text("3 में से 1 फ़ाइल पूरी हुई, 2 नाकाम रहीं।")


def test_the_time_that_all_files_take(browser, url):
    """At the pace of the one that is transcribed: 0.8 of its 1.0 seconds are left, and two files are as large."""
    with page_on(browser, url, {"finish": [{"silent": True}]}) as page:
        drop(page, *seconds("a.wav", "b.wav", "c.wav"))
        wait_for(page, "transcribing")
        expect(at(page, "queue-left")).to_have_text("")
        for now, covered in ((60_000, 0), (64_000, 0.2)):
            page.evaluate("now => { performance.now = () => now; }", now)
            hear(page, event="covered", audio_seconds=covered)
        expect(at(page, "queue-left")).to_have_text("56 s left")


def test_a_text_is_read_while_the_next_file_is_transcribed(browser, url):
    """It stays when that one ends and the next begins; nothing that comes meanwhile is lost."""
    text = {"event": "text", "text": " One two", "tokens": [33, 1000], "audio_seconds": 0.2}
    more = {"event": "text", "text": " three. ", "tokens": [33, 1001], "audio_seconds": 0.5}
    late = {"event": "text", "text": "Four", "tokens": [33, 1002], "audio_seconds": 3.5}
    edited = {"result": {"srt": "edited\n", "vtt": "", "tsv": ""}}
    script = {"finish": [{}, {"events": [text], "silent": True}, {"silent": True}], "subtitles": [edited] * 2}
    with page_on(browser, url, script) as page:
        transcript, running = at(page, "transcript"), at(page, "running")
        drop(page, *seconds("a.wav", "b.wav", "c.wav", long=16000))
        expect_rows(page, ("a.wav", "done"), ("b.wav", "running"), ("c.wav", "waiting"))
        expect(transcript).to_have_text("One two")
        expect(running).to_be_hidden()
        at(page, "edit").click()
        page.keyboard.type("Well.")
        press(page, "Open", "a.wav")
        expect(transcript).to_have_text("Hello tab. It works.")
        expect(at(page, "reading-title")).to_have_text("a.wav")
        expect(at(page, "play")).to_be_visible()
        at(page, "edit").click()
        page.keyboard.type("Read.")
        for message in (more, late):
            hear(page, **message)
        hear(page, event="words", words=[{"text": word, "start": 0, "end": 0} for word in ("One", "two", "three.")])
        hear(page, event="words", words=[{"text": "Four", "start": 3.1, "end": 3.4}])
        expect(transcript).to_have_text("Read. Hello tab. It works.")
        expect(running).to_contain_text("b.wav is being transcribed.")
        at(page, "show-running").click()
        expect(transcript).to_be_focused()
        expect(running).to_be_hidden()
        expect(transcript.locator("p")).to_have_text(["Well. One two three.", "Four"])
        times = [each.get_attribute("data-time") for each in transcript.locator(".time").all()]
        assert times == ["0:00", "0:03"]
        # The other's edits are there too. It stays on show while b.wav ends and c.wav begins.
        press(page, "Open", "a.wav")
        expect(transcript).to_have_text("Read. Hello tab. It works.")
        words = [{"text": word, "start": n, "end": n + 1} for n, word in enumerate(("One", "two", "three.", "Four"))]
        result = {"text": " One two three. Four", "words": words, "audio_seconds": 4}
        answer(page, "finish", result={"result": result, "tokens": [1], "subtitles": {"srt": "1\n"}})
        expect_rows(page, ("a.wav", "done"), ("b.wav", "done"), ("c.wav", "running"))
        expect(running).to_contain_text("c.wav")
        expect(transcript).to_have_text("Read. Hello tab. It works.")
        # What is saved from the list is as the user has edited it: before the text was complete, and a moment ago.
        at(page, "edit").click()
        page.keyboard.type("Now. ")
        with page.expect_download() as download:
            at(page, "save-all-srt").click()
        with zipfile.ZipFile(download.value.path()) as texts:
            assert [texts.read(name) for name in texts.namelist()] == [b"edited\n"] * 2
        said = [call["text"] for call in calls(page, "subtitles")]
        assert said == ["Now. Read. Hello tab. It works.", "Well. One two three. Four"]
        with page.expect_download() as download:
            press(page, "Save .txt", "a.wav")
        assert Path(download.value.path()).read_text() == f"{said[0]}\n"
        with page.expect_download() as download:
            at(page, "save-all-json").click()
        with zipfile.ZipFile(download.value.path()) as texts:
            assert texts.namelist() == ["a.json", "b.json"]
            saved = [json.loads(texts.read(name)) for name in texts.namelist()]
        assert [result["text"].strip() for result in saved] == said and saved[0]["edited"] and saved[0]["words"]
        # As it is saved below the text that is shown.
        with page.expect_download() as download:
            at(page, "save-json").click()
        assert json.loads(Path(download.value.path()).read_text()) == saved[0]
        press(page, "More", "b.wav")
        with page.expect_download() as download:
            press(page, "Save .json", "b.wav")
        assert download.value.suggested_filename == "b.json"
        assert json.loads(Path(download.value.path()).read_text()) == saved[1]
        press(page, "Open", "b.wav")
        expect(transcript).to_have_text("Well. One two three. Four")
        at(page, "show-running").click()
        expect(at(page, "reading-title")).to_have_text("c.wav")
        # From the list too; what the browser does not keep is below the text once it has ended.
        hear(page, **text)
        at(page, "sessions-list").get_by_role("button", name="Open b.wav").click()
        expect(transcript).to_have_text("Well. One two three. Four")
        expect(running).to_contain_text("c.wav")
        at(page, "stop").click()
        wait_for(page, "ready")
        expect(running).to_be_hidden()
        expect(transcript).to_have_text("Well. One two three. Four")
        expect(at(page, "sessions-list").locator(".beginning").first).to_have_text("One two")


def test_a_text_that_is_read_stays_where_it_is(browser, url):
    """While files come after one another; the last one's sentence gives its place back."""
    held = []
    place = "() => document.getElementById('transcript').getBoundingClientRect().top"
    with page_on(browser, url, {"finish": [{}, {}, {"silent": True}, {"silent": True}]}) as page:
        page.route("**/d.wav", lambda route: held.append(route))
        drop(page, *((name, LOUD) for name in ("a.wav", "b.wav", "c.wav")))
        at(page, "more-audio").locator("summary").click()
        at(page, "audio-url").fill("https://audio.example/d.wav")
        at(page, "load-audio").click()
        expect_rows(page, ("a.wav", "done"), ("b.wav", "done"), ("c.wav", "running"), ("d.wav", "waiting"))
        press(page, "Open", "a.wav")
        expect(at(page, "running")).to_contain_text("c.wav")
        before = page.evaluate(place)
        result = {"result": {"text": "", "audio_seconds": 1, "words": []}, "tokens": []}
        answer(page, "finish", result=result)
        expect_rows(page, ("a.wav", "done"), ("b.wav", "done"), ("c.wav", "done"), ("d.wav", "reading"))
        expect(at(page, "running")).to_be_hidden()
        assert page.evaluate(place) == before
        held[0].fulfill(body=LOUD)
        expect(at(page, "running")).to_contain_text("d.wav")
        assert page.evaluate(place) == before
        answer(page, "finish", result=result)
        expect(at(page, "queue-summary")).to_have_text("4 done")
        expect(at(page, "running")).to_have_css("display", "none")


def rename(page, name, title):
    """In the list of transcripts."""
    row = at(page, "sessions-list").locator("li", has_text=name)
    row.get_by_role("button", name="More").click()
    row.get_by_role("button", name="Rename").click()
    page.get_by_label("Title").fill(title)
    page.keyboard.press("Enter")


def test_a_renamed_transcript_has_its_name_everywhere(browser, url):
    """In the heading, the list of files and what is saved, whether it is shown or not."""
    with page_on(browser, url) as page:
        drop(page, *seconds("a.wav", "b.wav"))
        expect(at(page, "queue-summary")).to_have_text("2 done")
        rename(page, "b.wav", "Council meeting 30.11")
        expect(at(page, "reading-title")).to_have_text("Council meeting 30.11")
        with page.expect_download() as download:
            at(page, "save-txt").click()
        assert download.value.suggested_filename == "Council meeting 30.11.txt"
        rename(page, "a.wav", "Board 1/2")
        expect(at(page, "reading-title")).to_have_text("Council meeting 30.11")
        with page.expect_download() as download:
            press(page, "Save .txt", "Board 1_2")
        assert download.value.suggested_filename == "Board 1_2.txt"
        with page.expect_download() as download:
            at(page, "save-all-txt").click()
        with zipfile.ZipFile(download.value.path()) as texts:
            assert texts.namelist() == ["Board 1_2.txt", "Council meeting 30.11.txt"]
        press(page, "Open", "Board 1_2")
        expect(at(page, "reading-title")).to_have_text("Board 1/2")


def test_order_cancel_stop_and_try_again(browser, url):
    """What waits can be moved and taken back; Stop holds the rest, Cancel does not."""
    text = {"event": "text", "text": " One two", "tokens": [33, 1000], "audio_seconds": 0.2}
    with page_on(browser, url, {"finish": [{"events": [text], "silent": True}, {"silent": True}, {}]}) as page:
        drop(page, *seconds("a.wav", "b.wav", "c.wav", "d.wav"))
        expect_rows(page, ("a.wav", "running"), ("b.wav", "waiting"), ("c.wav", "waiting"), ("d.wav", "waiting"))
        wait_for(page, "transcribing")
        more(page, "b.wav")
        expect(page.get_by_role("button", name="Earlier: b.wav")).to_be_disabled()
        more(page, "d.wav")
        expect(page.get_by_role("button", name="Later: d.wav")).to_be_disabled()
        press(page, "Earlier", "d.wav")
        expect(page.get_by_role("button", name="Earlier: d.wav")).to_be_focused()
        press(page, "Earlier", "d.wav")
        expect(page.get_by_role("button", name="Earlier: d.wav")).to_be_disabled()
        expect(page.get_by_role("button", name="Cancel: d.wav")).to_be_focused()
        press(page, "Later", "d.wav")
        press(page, "Cancel", "c.wav")
        drop(page, *seconds("e.wav"))  # while another is transcribed
        expect_rows(page, ("a.wav", "running"), ("b.wav", "waiting"), ("d.wav", "waiting"), ("e.wav", "waiting"))
        press(page, "Cancel", "a.wav")  # the rest goes on
        expect_rows(page, ("a.wav", "stopped"), ("b.wav", "running"), ("d.wav", "waiting"), ("e.wav", "waiting"))
        wait_for(page, "transcribing")
        at(page, "stop").click()
        wait_for(page, "ready")
        expect_rows(page, ("a.wav", "stopped"), ("b.wav", "stopped"), ("d.wav", "waiting"), ("e.wav", "waiting"))
        # What has come of a file can be read.
        press(page, "Open", "a.wav")
        expect(at(page, "reading-title")).to_have_text("a.wav (incomplete)")
        expect(at(page, "transcript")).to_have_text("One two")
        expect(page.get_by_role("button", name="Open: b.wav")).to_have_count(0)  # nothing
        at(page, "queue-go-on").click()
        expect(at(page, "queue-summary")).to_have_text("2 done, 2 stopped")
        expect(page.get_by_role("button", name="Try again: b.wav")).to_be_visible()
        press(page, "Go on", "a.wav")  # the text that is there is not written again
        expect(at(page, "queue-summary")).to_have_text("3 done, 1 stopped")
        expect(at(page, "queue-go-on")).to_be_hidden()
        assert calls(page, "start")[-1]["tokens"] == [33, 1000]
        expect(at(page, "sessions-list").get_by_role("listitem")).to_have_count(3)


def test_a_stopped_file_goes_on_below_its_text(browser, url):
    """Its row is done then."""
    text = {"event": "text", "text": " One two", "tokens": [33, 1000], "audio_seconds": 0.2}
    with page_on(browser, url, {"finish": [{"events": [text], "silent": True}, {}]}) as page:
        drop(page, *seconds("a.wav", "b.wav"))
        expect(at(page, "transcript")).to_have_text("One two")
        at(page, "stop").click()
        expect_rows(page, ("a.wav", "stopped"), ("b.wav", "waiting"))
        at(page, "go-on").click()
        expect_rows(page, ("a.wav", "done"), ("b.wav", "waiting"))
        assert calls(page, "start")[-1]["tokens"] == [33, 1000]
        expect(page.get_by_role("button", name="Save .txt: a.wav")).to_be_visible()


def test_what_failed_or_was_stopped_is_removed_at_once(browser, url):
    """From two such files on. The focus goes to a row that is left, or to the choice of files."""
    with page_on(browser, url, {"finish": [{}, {}, {"silent": True}, {}]}) as page:
        clear = at(page, "queue-clear")
        drop(page, ("0 bad.wav", BAD), *seconds("a.wav", "b.wav", "c.wav", "d.wav"))
        expect(at(page, "queue-list").locator("li").nth(3)).to_have_attribute("data-state", "running")
        expect(clear).to_be_hidden()
        at(page, "stop").click()
        expect(clear).to_be_visible()
        clear.press("Enter")
        expect_rows(page, ("a.wav", "done"), ("b.wav", "done"), ("d.wav", "waiting"))
        expect(clear).to_be_hidden()
        expect(page.get_by_role("button", name="Save .txt: a.wav")).to_be_focused()
    with page_on(browser, url) as page:
        drop(page, ("1.wav", BAD), ("2.wav", BAD))
        expect(at(page, "queue-summary")).to_have_text("2 failed")
        at(page, "queue-clear").press("Enter")
        expect(at(page, "queue")).to_be_hidden()
        expect(at(page, "audio-file")).to_be_focused()


def test_files_wait_for_a_model(browser, url):
    with page_on(browser, url, {"open": [{"silent": True}]}, state="loading") as page:
        drop(page, *seconds("a.wav", "b.wav"))
        expect_rows(page, ("a.wav", "waiting"), ("b.wav", "waiting"))
        expect(at(page, "queue-waits")).to_be_visible()
        answer(page, "open", result=MODEL)
        expect(at(page, "queue-summary")).to_have_text("2 done")
        expect(at(page, "queue-waits")).to_be_hidden()


def test_a_longer_delay_is_offered_for_files(browser, url):
    """Not with the self-test model. The file that runs begins again with it, and speaking keeps its own."""
    with page_on(browser, url, {"finish": [{"silent": True}, {}]}, query="?model=m.gguf") as page:
        expect(at(page, "offer-longest")).to_be_hidden()
        drop(page, *seconds("a.wav", "b.wav"))
        wait_for(page, "transcribing")
        at(page, "use-longest").click()
        expect(at(page, "queue-summary")).to_have_text("2 done")
        assert [call["delay_ms"] for call in calls(page, "start")] == [480, 2400, 2400]
        expect(at(page, "offer-longest")).to_be_hidden()
        expect(at(page, "sessions-list").locator("li")).to_have_count(2)
        expect(at(page, "files-2400")).to_be_checked()
        expect(at(page, "delay")).to_have_value("480")


def test_the_self_test_model_has_one_delay_for_files(browser, url):
    """With the longest one it hears nothing."""
    with page_on(browser, url) as page:
        at(page, "files-2400").check()
        drop(page, *seconds("a.wav"))
        wait_for(page, "done")
        assert [call["delay_ms"] for call in calls(page, "start")] == [480]


def test_the_engine_goes_away(browser, url):
    """At the first loss, the file is transcribed again; at the second, the rest waits until the user goes on."""
    lost = {"error": {"kind": "lost", "message": "The GPU went away."}}
    with page_on(browser, url, {"finish": [lost, lost, {}]}) as page:
        drop(page, *seconds("a.wav", "b.wav"))
        expect_rows(page, ("a.wav", "failed"), ("b.wav", "waiting"))
        wait_for(page, "error")
        at(page, "retry").click()  # opens the model again
        wait_for(page, "ready")
        at(page, "queue-go-on").click()
        expect_rows(page, ("a.wav", "failed"), ("b.wav", "done"))


def test_folders(browser, url, tmp_path):
    """Dropped, with folders in it: all audio, in order, the rest left out and told; and chosen."""
    for path in ("talks/one/2.wav", "talks/one/10.wav", "talks/b.wav"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(SECOND["buffer"])
    (tmp_path / "talks/notes.pdf").write_bytes(b"%PDF")
    (tmp_path / "empty").mkdir()
    with page_on(browser, url) as page:
        drop_paths(page, tmp_path / "talks")
        expect(at(page, "queue-summary")).to_have_text("3 done")
        expect_rows(page, ("talks/b.wav", "done"), ("talks/one/2.wav", "done"), ("talks/one/10.wav", "done"))
        drop_paths(page, tmp_path / "empty")
        expect(at(page, "error")).to_contain_text("No file was found there")
        at(page, "more-audio").locator("summary").click()
        at(page, "audio-folder").set_input_files(tmp_path / "talks")
        expect(at(page, "queue-summary")).to_have_text("6 done")
        expect(at(page, "left-out")).to_have_text("1 file is not audio and was left out: notes.pdf.")
        expect(page.get_by_role("button", name="Save .txt: talks/b.wav (2)")).to_be_in_viewport()  # the newest rows
        with page.expect_download() as download:
            at(page, "save-all-txt").click()
        with zipfile.ZipFile(download.value.path()) as texts:
            names = [f"talks/{name}" for name in ("b", "one/2", "one/10")]
            assert texts.namelist() == [f"{name}{ending}.txt" for ending in ("", " (2)") for name in names]


def test_a_folder_with_a_model_and_audio(browser, url, tmp_path):
    for name, data in (("voxtral-q4.gguf", b"GGUF"), ("tekken.json", b"{}"), ("clip.wav", SECOND["buffer"])):
        (tmp_path / name).write_bytes(data)
    with page_on(browser, url) as page:
        drop_paths(page, tmp_path)
        wait_for(page, "done")
        assert "files" in calls(page, "open")[1]["model"]
        expect(at(page, "queue-summary")).to_have_text("1 done")


def test_an_address(browser, url):
    """Fetched when its turn comes; cancelled meanwhile; and one that gives nothing."""
    with page_on(browser, url) as page:
        page.route("**/talk.wav", lambda route: route.fulfill(body=SECOND["buffer"]))
        page.route("**/never.wav", lambda route: None)
        page.route("**/gone.wav", lambda route: route.fulfill(status=404))
        at(page, "more-audio").locator("summary").click()
        for name in ("never", "talk", "gone"):
            at(page, "audio-url").fill(f"https://audio.example/{name}.wav")
            at(page, "load-audio").click()
        expect_rows(page, ("never.wav", "reading"), ("talk.wav", "waiting"), ("gone.wav", "waiting"))
        press(page, "Cancel", "never.wav")
        expect_rows(page, ("never.wav", "stopped"), ("talk.wav", "done"), ("gone.wav", "failed"))
        expect(at(page, "error")).to_contain_text("audio.example has no gone.wav (status 404)")
        assert fed(page)[-1]["fed"] == 16000
        # Nothing comes after it.
        at(page, "audio-url").fill("https://audio.example/never.wav")
        at(page, "load-audio").click()
        expect(at(page, "status")).to_have_text("Reading never.wav…")
        press(page, "Cancel", "never.wav (2)")
        expect(at(page, "status")).to_contain_text("Ready, with the self-test model")


def test_what_is_to_say_about_the_audio(browser, url):
    """A note on its level, and how far the transcription is, with hours."""
    covered = [{"event": "covered", "audio_seconds": 3725}]
    with page_on(browser, url, {"finish": [{"events": covered, "silent": True}, {}]}) as page:
        drop(page, *seconds("quiet.wav"))
        expect(at(page, "progress")).to_contain_text("1:02:05 of 0:01")
        answer(page, "finish", result={"result": {"text": "", "audio_seconds": 1, "words": []}, "tokens": []})
        expect(at(page, "queue-list")).to_contain_text("It is silent (the loudest sample is 0.00000 of full scale)")
        expect(at(page, "note")).to_contain_text("quiet.wav: It is silent")
        expect(page.get_by_role("button", name="Save .srt: quiet.wav")).to_have_count(0)
        expect(at(page, "transcript")).to_have_attribute("data-silent", "No speech was recognised.")
        drop(page, *seconds("a.wav"))
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        press(page, "Open", "quiet.wav")
        expect(at(page, "reading-title")).to_have_text("quiet.wav")
        expect(at(page, "transcript")).to_have_attribute("data-silent", "No speech was recognised.")
        # What is wrong with a file is told with what to do.
        drop(page, ("scaled.wav", wav(b"\0\0\x80\x46" * 16000, bits=32, form=3)))
        expect(at(page, "queue-list")).to_contain_text(
            "scaled.wav is far too loud: its samples go far beyond full scale. It was probably exported wrongly: "
            "export it again as 16-bit WAV."
        )


def test_no_gpu(browser, url):
    with page_on(browser, url, gpu="delete Navigator.prototype.gpu", state="error") as page:
        drop(page, *seconds("a.wav"))
        expect(at(page, "error")).to_contain_text("WebGPU")
        assert rows(page) == []
