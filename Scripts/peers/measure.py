"""What the peer programs share: their options, how they time, and the JSON lines that they print.

A line has the keys of `tachornis bench --json`: name, type, shape, variant, seconds (the median), and gflops, gbps or
tokensPerSecond; and beside them peer (whose number it is) and mode (how it was run). Scripts/compare pairs lines by (name,
type, shape, variant) and lets the fastest mode stand for the peer.
"""
import argparse
import json
import statistics
import sys
import time


def options(description, **extra):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--filter", default="", help="only cases whose 'name type shape variant' contains this")
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing per case")
    for name, settings in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), **settings)
    return parser.parse_args()


def median_seconds(body, seconds):
    """The median time of a call of `body`: three calls (or a second) to warm up, then at least five, for about `seconds`."""
    begin = time.perf_counter()
    for _ in range(3):
        body()
        if time.perf_counter() - begin > 1:
            break
    times, begin = [], time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - begin < seconds and len(times) < 2000):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
        if len(times) >= 3 and time.perf_counter() - begin > 4 * seconds + 4:
            break
    return statistics.median(times)


def wanted(arguments, name, type, shape, variant):
    return arguments.filter in f"{name} {type} {shape} {variant}"


def report(name, type, shape, variant, seconds, flops=None, bytes=None, peer="torch", mode="eager", **more):
    line = {"name": name, "type": type, "shape": shape, "variant": variant, "seconds": seconds, "peer": peer, "mode": mode}
    if flops is not None:
        line["gflops"] = flops / seconds / 1e9
    if bytes is not None:
        line["gbps"] = bytes / seconds / 1e9
    line.update(more)
    print(json.dumps(line))
    sys.stdout.flush()
