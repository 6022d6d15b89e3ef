"""What the words of the report mean: said once, and shown where a word stands."""

from __future__ import annotations

from reports.evidence.differences import LEVEL, POWER
from reports.evidence.significance import RESAMPLES

MAJORITY = "†"  # at a score that is just that of the majority baseline
GLOSSARY = {
    "budget": "Trained adapter parameters that every method matched at it has, as nearly as ranks "
    "allow; heads are not counted.",
    "off budget": "How far a method's adapter parameters lie from the budget.",
    "of the base": "Trained parameters, heads not counted, by all parameters of the frozen model.",
    "protocol tuned": "Equal parameters; each method's learning rate chosen from the same grid by the same "
    "number of trials on the dev split (rows set apart from training), then fresh seeds scored once on the "
    "test rows. Intervals and verdicts are of methods at the rates that were chosen; that other trials "
    "might have chosen others is not in them.",
    "protocol tuned-reduced": "As tuned, with every second learning rate tried and fewer seeds.",
    "protocol tuned-halved": "As tuned, with the better half of learning rates tried with each further seed, up to a budget "
    "of trials that is the same for every method.",
    "protocol matched": "Equal parameters, and one recipe for all methods.",
    "protocol paper": "Every method with the released settings of its own script, at the released rank, "
    "whatever that costs.",
    "conflict": "How far the generated tasks contradict each other: at 0 one rule serves all, at 1 each task has its own.",
    "majority": f"The majority baseline: the commonest class, or the mean grade. {MAJORITY} marks a score "
    "that is just that: in all seeds, or in as many as stand beside it.",
    "score": "In percent. Mean ± half of the 95% interval over seeds (Student's t); of one seed with "
    "the standard error over the scored rows in parentheses.",
    "mean": "Of the tasks' scores; a task's score is the mean of its metrics.",
    "95% interval": "Of a difference: paired by scored rows and by seeds. The variance by rows comes from a "
    f"bootstrap ({RESAMPLES:,} resamples), that by seeds from the seeds; both are joined by "
    "Cochran and Cox's critical value, never narrower than Student's t over seeds. With one "
    "seed over rows alone. Intervals are not corrected for their number.",
    "over lora": "Points over plain LoRA, seed by seed, with the 95% interval; bold where significant.",
    "verdict": "Of a method against another: better, equivalent, worse or undecided.",
    "better": f"Significant: the 95% interval leaves 0 out, and p < {LEVEL} after correction; never with "
    "one seed. Worse likewise.",
    "equivalent": "The whole 95% interval lies inside the margin, and p of equivalence, corrected, is below "
    f"{LEVEL}; never with one seed.",
    "undecided": "Neither significant nor equivalent: no more is claimed than that.",
    "margin": "The difference in points of percent below which methods count as equivalent; fixed before looking.",
    "p": "Two-sided, that two methods do not differ. Corrected by Holm's method among the methods "
    "against plain LoRA, apart from these among the other pairs matched at a budget, and "
    "among the pairs with a reference.",
    "p of equivalence": "That two methods differ by the margin or more: the larger p of two one-sided tests, "
    "corrected likewise.",
    "would probably decide it": "Seeds, and where these cannot do it how many times the scored rows, that decide with "
    f"probability {POWER} if the difference and its variances are as measured.",
    "effect": "Mean by standard deviation of the differences over tasks and seeds (Cohen's d_z).",
    "improvement": "The probability that a run of the first method scores higher than one of the second, mean over tasks.",
    "tasks won": "On how many tasks the first method scored higher, in parentheses on how many significantly.",
    "tasks lost": "On how many tasks the first method scored lower, in parentheses on how many significantly.",
    "heads-only": "Reference: no adapter, only the task heads are trained.",
    "lora-per-task": "Reference: a LoRA of the whole budget for each task: as many times the parameters as there are tasks.",
    "lora-larger": "Reference: plain LoRA of as many parameters as the largest adapter beside it, as far as the layers' "
    "widths allow.",
    "full": "Reference: every weight of the base is trained.",
    "unanswered, %": "Generated texts that name no answer; they count as wrong.",
    "ms per sample": "Training time, median over seeds. Runs shared their machine with other work: differences "
    "of less than several times mean nothing, and speed has a benchmark of its own.",
    "memory, GiB": "The most allocated on a GPU; on a CPU the largest size of the process, earlier runs of it included.",
    "checkpoint, MB": "The trained tensors in float32, heads included.",
    "unmerged": "Time of a forward pass with the adapter by that of the base alone; empty where the run was not diagnosed.",
    "merged": "The same with the adapter merged into the weights for one task.",
    "gradient cosine": "Between the gradients of two tasks' mean losses on training rows with respect to all "
    "adapter parameters, mean over pairs of tasks; parameters of one task alone make it "
    "smaller.",
    "overlap of updates": "Cosine between the updates s U C D of two tasks over all layers, mean over pairs: 1 "
    "where they have one update in common, 0 where they are unrelated.",
    "silhouette of D x": "How well tasks are told apart in the low-rank space of a middle layer, from -1 over 0 "
    "(not at all) to 1.",
    "hand": "First hand: the source's authors on their own method, or they say the number is theirs. "
    "Second hand: anyone else.",
    "n/a": "In the paper's tables, which could not be obtained.",
}
