"""Voxtab: streaming speech recognition in a browser tab and natively."""
