"""The table, the JSON and the picture."""

import json
import math
import statistics

from rows import SECONDS_1000

_COLOURS = {"popbridge": "#0a6ebd", "imapc": "#c0392b", "nginx": "#27864a", "direct": "#777777"}


class Results:
    """{row: {peer: [{metric: value} of each round]}}; None where the work failed."""

    def __init__(self, rows, facts):
        self.rows, self.facts = rows, facts
        self.samples = {row.name: {} for row in rows}

    def add(self, row, peer, values):
        self.samples[row.name].setdefault(peer, []).append(values)

    def values(self, row, peer, metric):
        return [sample[metric] for sample in self.samples[row.name].get(peer, []) if sample]

    def ratios(self, row, goal):
        """popbridge / peer (or popbridge itself): round by round, so that a disturbance of the
        machine meets both; if a peer had fewer rounds, against its median."""
        own = self.values(row, goal.of, goal.metric)
        if goal.peer is None:
            return own
        others = self.values(row, goal.peer, goal.metric)
        if not others:
            return []
        if len(own) != len(others):
            others = [statistics.median(others)] * len(own)
        return [ours / other for ours, other in zip(own, others) if other]

    def met(self, row, goal):
        """True or False by the median; None if something is missing."""
        ratios = self.ratios(row, goal)
        if not ratios:
            return None
        ratio = statistics.median(ratios)
        return ratio >= goal.factor if goal.metric.more else ratio <= goal.factor


def spread(values, digits):
    """median (smallest to largest)."""
    if not values:
        return "-"
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def _goal_text(results, row, goal):
    sign = ">=" if goal.metric.more else "<="
    unit = f"x {goal.peer}" if goal.peer else goal.metric.unit
    wanted = f"{sign} {goal.factor:g} {unit}"
    if goal.of != "popbridge":
        wanted = f"{goal.of} {wanted}"
    word = {True: "met", False: "MISSED", None: "not measured"}[results.met(row, goal)]
    return f"{wanted}: {spread(results.ratios(row, goal), 2)} {word}"


def table(results):
    """In Markdown; a line for each metric of each row."""
    names = list(dict.fromkeys(peer for row in results.rows for peer in row.peers))
    lines = ["| row | work | counted | " + " | ".join(names) + " | goal: popbridge / peer |",
             "|---|---|---|" + "---|" * (len(names) + 1)]
    for row in results.rows:
        for metric in row.metrics:
            first = metric is row.metrics[0]
            cells = [row.name if first else "", row.title if first else "", metric.name]
            for peer in names:
                samples = results.samples[row.name].get(peer, [])
                failed = samples and not any(samples)
                cells.append("failed" if failed else
                             spread(results.values(row, peer, metric), metric.digits))
            cells.append("; ".join(_goal_text(results, row, goal)
                                   for goal in row.goals if goal.metric is metric))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_json(results, path):
    rows = []
    for row in results.rows:
        rows.append({
            "name": row.name, "work": row.title, "rtt_ms": row.rtt_ms,
            "metrics": [{"name": m.name, "unit": m.unit, "more_is_better": m.more}
                        for m in row.metrics],
            "samples": {peer: [sample and {m.name: value for m, value in sample.items()}
                               for sample in samples]
                        for peer, samples in results.samples[row.name].items()},
            "goals": [{"metric": goal.metric.name, "of": goal.of, "peer": goal.peer,
                       "factor": goal.factor, "ratios": results.ratios(row, goal),
                       "met": results.met(row, goal)} for goal in row.goals],
        })
    path.write_text(json.dumps({"facts": results.facts, "rows": rows}, indent=1) + "\n")


def write_picture(results, path):
    """RTT against the time for 1,000 messages; nothing if no such row was run. The time goes up in
    powers of ten, for the peers are that far apart."""
    far = [row for row in results.rows if SECONDS_1000 in row.metrics]
    curves = {peer: [(row.rtt_ms, statistics.median(values)) for row in far
                     if (values := results.values(row, peer, SECONDS_1000))]
              for peer in _COLOURS}
    curves = {peer: points for peer, points in curves.items() if points}
    if not curves:
        return False
    times = [time for points in curves.values() for _, time in points]
    low, high = 0.1, 10.0
    while low > min(times):
        low /= 10
    while high < max(times):
        high *= 10
    path.write_text(_svg(curves, max(row.rtt_ms for row in far) or 1, low, high))
    return True


def _svg(curves, widest, low, high):
    left, top, width, height = 70, 50, 560, 340

    def x_of(rtt):
        return left + width * rtt / widest

    def y_of(time):
        return top + height * (1 - math.log10(time / low) / math.log10(high / low))

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 450" '
             'font-family="sans-serif" font-size="13">',
             '<rect width="780" height="450" fill="white"/>',
             '<text x="70" y="28" font-size="15">Seconds for 1,000 messages of 6 kB, RETR one by '
             'one</text>']
    time = low
    while time <= high * 1.001:
        y = y_of(time)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" '
                     'stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{time:g} s</text>')
        time *= 10
    for rtt in sorted({rtt for points in curves.values() for rtt, _ in points} | {0}):
        parts.append(f'<text x="{x_of(rtt):.1f}" y="{top + height + 20}" '
                     f'text-anchor="middle">{rtt}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 42}" text-anchor="middle">'
                 'round trip to the upstream, ms</text>')
    last = -math.inf
    for peer, points in sorted(curves.items(), key=lambda item: -item[1][-1][1]):
        colour = _COLOURS[peer]
        places = " ".join(f"{x_of(rtt):.1f},{y_of(time):.1f}" for rtt, time in points)
        parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" '
                     'stroke-width="2"/>')
        parts += [f'<circle cx="{x_of(rtt):.1f}" cy="{y_of(time):.1f}" r="4" fill="{colour}"/>'
                  for rtt, time in points]
        last = max(last + 16, y_of(points[-1][1]) + 4)
        parts.append(f'<text x="{left + width + 10}" y="{last:.1f}" fill="{colour}">{peer} '
                     f'{points[-1][1]:.2f} s</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"
