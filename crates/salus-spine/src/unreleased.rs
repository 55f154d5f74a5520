use std::future::Future;

use salus_model::{Class, Classified};

use crate::scope::{Scope, ScopeMismatch, Use};

/// A token that belongs to a deal.
pub trait Scoped {
    /// The deal.
    fn scope(&self) -> &Scope;
}

/// Something computed from a holder's rows that nobody may see yet.
///
/// It cannot be printed, compared, cloned, dereferenced or serialised. [`Unreleased::compute`]
/// works on it in place; [`seal`] and [`release`] are the only way out.
pub struct Unreleased<T, U: Use> {
    pub(crate) scope: Scope,
    pub(crate) terms: U::Terms,
    pub(crate) value: T,
}

impl<T, U: Use> Unreleased<T, U> {
    pub(crate) const fn enclosed(scope: Scope, terms: U::Terms, value: T) -> Self {
        Self { scope, terms, value }
    }

    /// Computes on the value without letting it out.
    ///
    /// # Privacy
    /// The types cannot see what `step` does on the side; steps live in the query engine and the
    /// job runners only, and write neither logs nor files.
    pub fn compute<R>(self, step: impl FnOnce(T) -> R) -> Unreleased<R, U> {
        Unreleased::enclosed(self.scope, self.terms, step(self.value))
    }

    /// As [`Unreleased::compute`], for a step that waits.
    pub async fn compute_async<R, F: Future<Output = R>>(
        self,
        step: impl FnOnce(T) -> F,
    ) -> Unreleased<R, U> {
        let Self { scope, terms, value } = self;
        Unreleased::enclosed(scope, terms, step(value).await)
    }
}

impl<T, E, U: Use> Unreleased<Result<T, E>, U> {
    /// Separates failure from value. The error must not carry values of rows.
    ///
    /// # Errors
    /// The step's own error.
    pub fn transpose(self) -> Result<Unreleased<T, U>, E> {
        let Self { scope, terms, value } = self;
        value.map(|value| Unreleased::enclosed(scope, terms, value))
    }
}

/// Who a result is for, and how it is closed to everybody else.
pub trait Recipient<T, U: Use> {
    /// The closed form.
    type Sealed;
    /// The deal under which the recipient asked.
    fn scope(&self) -> &Scope;
    /// Closes the value to everybody but the recipient.
    fn seal(self, value: T) -> Self::Sealed;
}

/// A result closed to everybody but its recipient, and not handed out yet.
pub struct Held<S, U: Use> {
    pub(crate) scope: Scope,
    pub(crate) terms: U::Terms,
    pub(crate) sealed: S,
}

/// A result that has been cleared and recorded.
pub struct Released<S>(S);

impl<S> Released<S> {
    /// The result, for the recipient.
    pub fn into_inner(self) -> S {
        self.0
    }
}

/// Closes a result to everybody but its recipient.
///
/// # Errors
/// When result and recipient are of different deals.
pub fn seal<T, U: Use, R: Recipient<T, U>>(
    unreleased: Unreleased<T, U>,
    recipient: R,
) -> Result<Held<R::Sealed, U>, ScopeMismatch> {
    unreleased.scope.same_as(recipient.scope())?;
    let Unreleased { scope, terms, value } = unreleased;
    Ok(Held { scope, terms, sealed: recipient.seal(value) })
}

/// A receipt that can say whether it was given for this very result.
pub trait Acknowledges<S>: Scoped {
    /// Whether it was.
    fn acknowledges(&self, sealed: &S) -> bool;
}

/// Why a result is not handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseRefused {
    /// Result, clearance and receipt are not of one deal.
    #[error(transparent)]
    Scope(#[from] ScopeMismatch),
    /// The receipt was given for another result of the same deal.
    #[error("the receipt was given for another result")]
    OtherResult,
}

impl Classified for ReleaseRefused {
    fn class(&self) -> Class {
        Class::Bug
    }
}

/// Hands a result out, once it is cleared and on record.
///
/// # Errors
/// When result, clearance and receipt are not of one deal, or the receipt is for another result.
pub fn release<S, U: Use>(
    held: Held<S, U>,
    clearance: U::Clearance,
    receipt: U::Receipt,
) -> Result<Released<S>, ReleaseRefused>
where
    U::Receipt: Acknowledges<S>,
{
    held.scope.same_as(clearance.scope())?;
    held.scope.same_as(receipt.scope())?;
    if !receipt.acknowledges(&held.sealed) {
        return Err(ReleaseRefused::OtherResult);
    }
    // Both proofs are used up here: one clearance and one receipt release one result.
    drop((clearance, receipt));
    Ok(Released(held.sealed))
}
