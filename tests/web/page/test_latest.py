"""web/page/latest.js, in Node."""

import json
import subprocess

from web.conftest import CHECKOUT

SCRIPT = """
    const { latest } = await import(process.argv[1]);
    const waiting = [];
    const ask = latest(() => new Promise((resolve, reject) => waiting.push({ resolve, reject })));
    const found = [ask(), ask(), ask()];
    waiting[2].resolve("third");
    waiting[1].resolve("second");
    waiting[0].reject(new Error("first"));
    const told = await Promise.all(found);
    const last = ask();
    waiting[3].reject(new Error("fourth"));
    console.log(JSON.stringify([...told, await last.catch(({ message }) => message)]));
"""


def test_only_what_was_asked_for_last_counts():
    command = ["node", "--input-type=module", "-e", SCRIPT, str(CHECKOUT / "web" / "page" / "latest.js")]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    assert json.loads(found) == [None, None, "third", "fourth"]
