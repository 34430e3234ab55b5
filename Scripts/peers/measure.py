"""What the peer programs share: their options, how they time, and the JSON lines that they print.

A line has the keys of `tachornis bench --json`: name, type, shape, variant, seconds (the median), and gflops, gbps or
tokensPerSecond; and beside them peer (whose number it is), mode (how it was run) and foreign (how many cores other
processes kept busy meanwhile). Scripts/compare pairs lines by (name, type, shape, variant) and lets the fastest mode
stand for the peer.
"""
import argparse
import json
import os
import statistics
import sys
import time


def options(description, **extra):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--filter", default="", help="only cases whose 'name type shape variant' contains this")
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing per case")
    for name, settings in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), **settings)
    return parser.parse_args()


class ForeignLoad:
    """How busy others kept the machine, in cores, since this was made (Linux; else 0)."""

    def __init__(self):
        self.begin = self.now()

    @staticmethod
    def now():
        try:
            with open("/proc/stat") as file:
                user, nice, system, _, _, irq, softirq, *_ = map(int, file.readline().split()[1:])
        except OSError:
            return 0, 0, 1
        own = os.times()
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK"), sum(own[:4]), time.perf_counter()

    def cores(self):
        everybody, own, clock = (b - a for a, b in zip(self.begin, self.now()))
        return round(max(0.0, everybody - own) / clock, 2) if clock > 0 else 0.0


foreign = 0.0


def median_seconds(body, seconds):
    """The median time of a call of `body`: up to three calls to warm up, then at least five, for about `seconds`.

    On a machine that others keep busy this is repeated, up to four times, and the quietest time counts.
    """
    global foreign
    best = None
    for attempt in range(4):
        load = ForeignLoad()
        median = median_once(body, seconds)
        cores = load.cores()
        if best is None or cores < best[0]:
            best = cores, median
        # A tick is 10 ms: a short measurement cannot tell less than a few of them from none.
        if cores <= 0.1:
            break
    foreign, median = best
    return median


def median_once(body, seconds):
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
    line = {"name": name, "type": type, "shape": shape, "variant": variant, "seconds": seconds}
    if flops is not None:
        line["gflops"] = flops / seconds / 1e9
    if bytes is not None:
        line["gbps"] = bytes / seconds / 1e9
    line |= {"peer": peer, "mode": mode, "foreign": foreign, **more}
    print(json.dumps(line))
    sys.stdout.flush()
