#!/usr/bin/env python3
"""Puts the reference's test data where a fuzz target begins: seeds.py TARGET DIR. Without NARTHEX_CONFORMANCE it leaves the corpus as it is."""
import glob, hashlib, json, os, re, sys

target, out = sys.argv[1:]
conformance = os.environ.get("NARTHEX_CONFORMANCE", "")
os.makedirs(out, exist_ok=True)


def put(data):
    data = data.encode() if isinstance(data, str) else data
    with open(os.path.join(out, "seed-" + hashlib.sha1(data).hexdigest()[:16]), "wb") as f:
        f.write(data)


def files(*patterns):
    for p in patterns:
        for name in glob.glob(os.path.join(conformance, p), recursive=True):
            if os.path.isfile(name):
                yield open(name, "rb").read()


def scripts():
    for text in files("promql/*.test"):
        yield from text.decode().splitlines()


if not os.path.isdir(conformance):
    sys.exit()
if target == "promql":
    for line in open(os.path.join(conformance, "promql/parser/expressions.jsonl")):
        case = json.loads(line)
        put(case["input"] if "input" in case else bytes.fromhex(case["input_hex"]))
    for line in scripts():
        m = re.match(r"\s*eval(?:_\w+)? (?:instant at \S+|range from \S+ to \S+ step \S+) (.*)", line)
        if m:
            put(m[1])
elif target == "series":
    for line in scripts():
        if re.match(r"\s+[a-z_]+(\{| )", line):
            put(line.strip())
elif target in ("text", "openmetrics"):
    for page in files("exposition/*.om.txt" if target == "openmetrics" else "exposition/*.prom.txt"):
        lines = page.decode().splitlines(True)
        for at in range(0, min(len(lines), 2000), 20):
            put("".join(lines[at : at + 20]) + ("# EOF\n" if target == "openmetrics" else ""))
elif target in ("yaml", "rules", "config"):
    for text in files(*{"rules": ["rules/**/*", "promtool/*rules*"], "yaml": ["config/*.yml"], "config": []}[target]):
        put(text)
    if target == "config":
        # The target reads sections: what stands under each key of a whole file.
        for text in files("config/*.yml"):
            for part in re.split(rb"(?m)^[a-z_]+:[ ]*\n", text)[1:]:
                put(re.sub(rb"(?m)^  ", b"", part))
elif target == "template":
    for text in files("rules/**/*", "kube-prometheus-stack/**/*.y*ml"):
        for m in re.findall(rb"[^\n'\"]*\{\{.*?\}\}[^\n'\"]*", text):
            put(m)
