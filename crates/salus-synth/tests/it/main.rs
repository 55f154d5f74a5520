//! Synthesis judged on real data, and its sampling on its promises.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod adult;
mod discovery;
mod likelihood;
mod losses;
mod sampling;
mod support;
