"""Answer modes: a linear head for each task; for multiple choice, scored pairs, likelihoods or generated text; for
questions on pictures, words generated after them."""

# Apart from the modes themselves, so that who only names them need not load torch.
SUMMARIES = {
    "heads": "a linear head for each task",
    "pairs": "each option scored against the question by their sentence vectors",
    "likelihood": "the option whose response a causal model finds likeliest",
    "cloze": "the option whose own text a causal model finds likeliest after the question",
    "generation": "text that a causal model generates, and the first option named in it",
    "vision-language": "words that a language model generates after projected pictures and a question",
}
