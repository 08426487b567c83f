"""Other ways to learn codes, with the interface of `JointHasher`: what it has to beat, and what needs no labels."""
