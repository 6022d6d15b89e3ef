"""Answer modes: a linear head for each task; for multiple choice, a bi-encoder, likelihoods or generated text; for
questions on pictures, words generated after them."""
