//! The forge client when the forge is not well: every failure has a fate, and nothing is concluded from one.
