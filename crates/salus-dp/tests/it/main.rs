//! Differential privacy judged from outside: references, closed forms, audits and attacks.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod account;
mod accounting;
mod answers;
mod attacks;
mod audits;
mod batches;
mod joint;
mod matrix;
mod mechanisms;
mod standing;
mod support;
