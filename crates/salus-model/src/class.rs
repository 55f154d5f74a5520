/// Who has to act on an error, which is all that a caller across a boundary may need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request itself is wrong; sending it again unchanged cannot help.
    BadRequest,
    /// Policy, consent, permit or budget forbids it.
    Refused,
    /// Another party broke the protocol.
    Peer,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A needed part is out of reach for now; trying again may help.
    Unavailable,
    /// Salus itself is at fault.
    Bug,
}

/// An error that knows its [`Class`].
pub trait Classified: std::error::Error {
    /// Who has to act.
    fn class(&self) -> Class;
}
