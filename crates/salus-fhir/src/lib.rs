#[allow(missing_docs)]
mod definitions;
pub mod fhirpath;
mod temporal;
pub use definitions::*;
pub use temporal::*;
