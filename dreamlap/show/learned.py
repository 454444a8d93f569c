"""The parts of the report that tell what V, M and C have learned, and how far the dream agrees with the track."""

from typing import Any

from dreamlap.measure.memory import open_loop
from dreamlap.measure.trust import SIGHT, advice
from dreamlap.show.figures import curves, dream_strip, evolution, rounds_curve
from dreamlap.show.glimpse import shown_frames
from dreamlap.show.good import RANKS, RMS, SPEED_R2, good_curves, told
from dreamlap.show.page import Html, bars, figure, join, missing, panels, paragraph, section, table, video
from dreamlap.show.reading import RunReader
from dreamlap.show.sight import SHEETS
from dreamlap.show.trust import calibrated, policy_dots, round_lines

CHECK_OF_DREAM = {"predicted", "actual", "predicted_off_road", "actual_off_road", "alarm"}
"""What the check of a round's dream leaves if a drive was long enough."""
UNITS = {"pixels": "grey levels", "z": "z"}
"""In what the error of a dream is told."""


def vision(run: RunReader) -> Html:
    """What V has learned."""
    return section(
        "V: the frame as a short vector",
        paragraph("V compresses every frame into a vector z. It learns to reconstruct the frame from z."),
        _speed(run),
        _bits(run),
        training_curves(run, "vision", "Error: of the reconstruction, summed over pixels. KL: the information in z, in nats."),
        _reconstructions(run),
    )


def _speed(run: RunReader) -> Html:
    known = [result["speed_r2"] for result in run.results("vision").values() if "speed_r2" in result]
    words = "A linear probe reads the car's true speed from z, on episodes that V never saw: R² = "
    return paragraph(f"{words}{known[-1]:.3f} ({told(SPEED_R2)}).") if known else Html("")


def _bits(run: RunReader) -> Html:
    """What V needs to code a frame, and what each group of its latents holds."""
    known = [result for result in run.results("vision").values() if {"kl", "bits_per_dimension", "rms"} <= result.keys()]
    if not known:
        return Html("")
    words = "On frames that V never saw, a reconstruction is off by {rms:.1f} grey levels (RMS; "
    words += f"{told(RMS)}). "
    words += (
        "A frame costs {bits_per_dimension:.3f} bits for each of its numbers (lower is better): a bound of its negative "
        "log-likelihood, z and the error of the reconstruction together. Information by group of latents:"
    )
    held = [(name, nats, f"{nats:.1f} nats") for name, nats in known[-1]["kl"].items()]
    return join((paragraph(words.format(**known[-1])), bars(held)))


def training_curves(run: RunReader, stage: str, caption: str) -> Html:
    """A small figure for every metric that a stage logged."""
    rounds, good = run.metrics(stage), good_curves(run.config, stage)
    names = dict.fromkeys(name for lines in rounds for line in lines for name in line if name != "update" and "/" not in name)
    if not names:
        return missing(f"Not trained in this run so far: it is that of {run.start}." if run.start else "Not trained yet.")
    each = (figure(lambda theme, n=n: curves(rounds, [n], theme=theme, good=good), f"{n} over the updates") for n in names)
    caption += " By update: raw, and smoothed."
    caption += " Dotted lines separate the rounds." if len(rounds) > 1 else ""
    caption += " Dashed green: what runs of the preset demo reach whose agents make more than 900." if good else ""
    return join((panels(each), paragraph(caption, "caption")))


def _reconstructions(run: RunReader) -> Html:
    if run.agent is None or run.drive is None:
        kept = run.folder / "pictures" / "reconstructions.png"  # what `dreamlap train vision` leaves
        if kept.exists():
            return figure(lambda _: kept.read_bytes(), "reconstructions of V", "A drive, and V's reconstruction of it.")
        return missing("No reconstructions yet: `dreamlap picture RUN` makes some once V is trained.")
    frames = shown_frames(run.agent, run.drive)
    sheets = {what: draw(run.agent, frames) for what, draw in SHEETS.items()}
    return join(figure(sheet.png, f"{what} of V", sheet.caption) for what, sheet in sheets.items())


def memory(run: RunReader) -> Html:
    """What M has learned."""
    return section(
        "M: memory and prediction",
        paragraph(
            "M reads z and the action. It predicts the next z, the reward, the end, and how far off the road the car is."
        ),
        training_curves(
            run, "memory", "Losses of what M predicts: negative log-likelihood in nats (of the reward: squared error)."
        ),
        _foresight(run.result(0, "memory")),
        _calibration(run.result(0, "memory")),
        _dream(run),
        _prediction(run),
    )


def _foresight(measured: dict[str, Any]) -> Html:
    """What `dreamlap.measure.memory.foresight` found."""
    if "nll_per_dim" not in measured:
        return Html("")
    words = "On episodes that neither V nor M learned from, M's negative log-likelihood is "
    words += f"{measured['nll_per_dim']:.3f} nats a step and latent dimension"
    words += (
        f". Its error of the reward of a step is {measured['reward_rmse']:.2f} (RMS)." if "reward_rmse" in measured else "."
    )
    words += " A good M is below the copy-last-frame baseline after 5 to 25 steps. (After one step little has moved, so the "
    words += "baseline is hard to beat.) No M can be better than V alone."
    return join((paragraph(words), *(_errors(measured[space], unit) for space, unit in UNITS.items() if space in measured)))


def _errors(error: dict[str, Any], unit: str) -> Html:
    """By dream steps: how far off M is, and what it is to be compared with."""
    names = {"dream": "M's dream", "floor": "V alone, of the actual frame", "still": "copy-last-frame baseline"}
    if not (horizons := [steps for steps in error["dream"] if all(steps in error[name] for name in names)]):
        return Html("")
    head = (f"error in {unit} (RMS)", *(f"after {steps} step{'s' * (steps != '1')}" for steps in horizons))
    return table(head, [(words, *(f"{error[name][steps]:.3g}" for steps in horizons)) for name, words in names.items()])


def _calibration(measured: dict[str, Any]) -> Html:
    if not (sums := {steps: one for steps, one in measured.get("reward_sums", {}).items() if one["pairs"]}):
        return Html("")
    means = "; ".join(f"over {n} steps {one['predicted']:.1f} predicted, {one['actual']:.1f} actual" for n, one in sums.items())
    caption = f"Calibration: sums of rewards on the same episodes. M is given the actions and dreams the rest. Means: {means}."
    return figure(lambda theme: calibrated(sums, theme), "predicted and actual rewards", caption)


def dream_check(run: RunReader) -> Html:
    """Whether the dream's predictions agree with the track, round by round and over good and bad policies."""
    if run.mind != "dream":
        return Html("")
    rounds = {number: found for number, found in run.results("trust").items() if found.keys() >= CHECK_OF_DREAM}
    checked, parts = run.trust, []
    if rounds:
        parts.append(figure(lambda theme: round_lines(rounds, theme), "predicted and actual by round", _by_round(rounds)))
        parts += [paragraph(f"Alarm in round {n}. {advice(found)}") for n, found in rounds.items() if found["alarm"]]
    if checked.get("controllers"):
        parts.append(figure(lambda theme: policy_dots(checked["controllers"], theme), "dream and track", _by_policy(checked)))
    nothing = missing("Nothing has been compared yet: that is done from round 1 on, and at the end of the run.")
    return section("Check of the dream", *(parts or [nothing]))


def _by_round(rounds: dict[int, dict[str, Any]]) -> str:
    words = "Before M learned from a round's drives it was given their actions: what it predicted for the next "
    words += f"{SIGHT} steps, and what the track gave. Above the actual value the dream is too optimistic, below it too "
    return words + (
        "pessimistic." if any(found["alarm"] for found in rounds.values()) else "pessimistic. No alarm in any round."
    )


def _by_policy(checked: dict[str, Any]) -> str:
    steps = f" for {checked['horizon']} steps" if "horizon" in checked else ""
    words = f"Each policy drives without noise, and dreams on{steps} from its own drive. Below the line the dream is too "
    words += "optimistic, above it too pessimistic."
    if {"bias", "rank_correlation"} <= checked.keys():
        words += f" Rank correlation {checked['rank_correlation']:.2f} ({told(RANKS)}). On average the dream differs by "
        words += f"{checked['bias']:+.2f} a step."
    return words


def _dream(run: RunReader) -> Html:
    if run.agent is None or run.drive is None:
        return missing("No dream yet: it is made with the first agent that has a trained C.")
    if len(run.drive) <= run.agent.config.memory.burn_in:
        return missing("No dream: the agent's drive ended before M's burn-in did.")
    dream = open_loop(run.agent, run.drive)
    caption = "Above: a drive on a track that M was not trained on. Below: M's dream. From the first of these frames on, M is "
    caption += "given the actions alone. The curves are means over 12 such dreams. A good one stays near V's reconstruction."
    return figure(lambda theme: dream_strip(dream, theme), "a drive above a dream with the same actions", caption)


def _prediction(run: RunReader) -> Html:
    words = "Left: the track. Right: M's dream of it. M is given the actions, and sees a real frame only every 50 steps."
    return video(path, words) if (path := run.video("prediction")) else Html("")


def controller(run: RunReader) -> Html:
    """What C has learned."""
    where = {"dream": " It trains in M's dream alone.", "awake": " It trains in the real environment."}
    return section(
        "C: the policy",
        paragraph("C turns z and M's memory h into steering, gas and brake." + where.get(run.mind, "")),
        _training(run),
        _returns(run),
    )


def _training(run: RunReader) -> Html:
    """How an evolution went by generation, or anything else by update."""
    rounds = run.metrics("controller")
    if not any("sigma" in line for lines in rounds for line in lines):
        caption = "Reward: what C earns a step where it is trained, with its noise. Off road: how far off the road it is."
        return training_curves(run, "controller", caption)
    caption = "Returns of the best candidate of a generation, and of their mean, where C is trained."
    return figure(lambda theme: evolution(rounds, theme), "returns and sigma by generation", caption)


def _returns(run: RunReader) -> Html:
    collected = {number: result.get("returns", []) for number, result in run.results("collect").items()}
    candidates = run.candidates()
    if not candidates and not any(collected.values()):
        return missing("No round has been driven yet.")
    if run.rounds == [0]:
        return Html("")  # a curve of one point says nothing that the table does not
    caption = "Every episode, and the mean. Round 0 collects with other drivers, every later round with the agent of the round "
    caption += "before; its episodes may be shorter than a lap, so only model selection can reach 900. Rounds differ, and some "
    caption += "lose many drives: model selection keeps the best."
    if begun := [str(number) for number in run.restart if number in run.rounds]:
        caption += f" In round{'s' * (len(begun) > 1)} {' and '.join(begun)} C was trained from scratch."
    if run.restarts:
        caption += f" After the rounds come {run.restarts} restarts: C is trained from scratch in the same dream. They collect "
        caption += "nothing."
    return figure(lambda theme: rounds_curve(candidates, collected, theme), "returns by round", caption)
