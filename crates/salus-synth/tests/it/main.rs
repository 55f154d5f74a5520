//! Synthesis judged on real data, and its sampling on its promises.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod adult;
mod cells;
mod discovery;
mod fair;
mod federated;
mod likelihood;
mod linked;
mod losses;
mod quality;
mod sampling;
mod sequence;
mod spelling;
mod support;
