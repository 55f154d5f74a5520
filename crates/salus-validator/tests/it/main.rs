//! Validators as members meet them: in one process, and four of them in processes of their own.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod alone;
mod channels;
mod console;
mod cut;
mod explorer;
mod network;
mod processes;
mod witness;
