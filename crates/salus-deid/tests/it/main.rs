//! Salus de-identification against published values and planted leaks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod adult;
mod anonymeter;
mod attack;
mod fhir;
mod local;
mod optimum;
mod risk;
mod unbias;
