//! Questions under permits, from the signed request to the opened answer.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod gated;
mod joint;
mod network;
mod questions;
mod standing;
mod together;
