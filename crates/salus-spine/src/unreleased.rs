use std::future::Future;
use std::marker::PhantomData;

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
    scope: Scope,
    value: T,
    used_as: PhantomData<U>,
}

impl<T, U: Use> Unreleased<T, U> {
    pub(crate) const fn enclosed(scope: Scope, value: T) -> Self {
        Self { scope, value, used_as: PhantomData }
    }

    /// Computes on the value without letting it out.
    ///
    /// # Privacy
    /// The types cannot see what `step` does on the side; steps live in the query engine and the
    /// job runners only, and write neither logs nor files.
    pub fn compute<R>(self, step: impl FnOnce(T) -> R) -> Unreleased<R, U> {
        Unreleased::enclosed(self.scope, step(self.value))
    }

    /// As [`Unreleased::compute`], for a step that waits.
    pub async fn compute_async<R, F: Future<Output = R>>(
        self,
        step: impl FnOnce(T) -> F,
    ) -> Unreleased<R, U> {
        let (scope, value) = (self.scope, self.value);
        Unreleased::enclosed(scope, step(value).await)
    }
}

impl<T, E, U: Use> Unreleased<Result<T, E>, U> {
    /// Separates failure from value. The error must not carry values of rows.
    ///
    /// # Errors
    /// The step's own error.
    pub fn transpose(self) -> Result<Unreleased<T, U>, E> {
        let (scope, value) = (self.scope, self.value);
        value.map(|value| Unreleased::enclosed(scope, value))
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
    scope: Scope,
    sealed: S,
    used_as: PhantomData<U>,
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
    let Unreleased { scope, value, .. } = unreleased;
    Ok(Held { scope, sealed: recipient.seal(value), used_as: PhantomData })
}

/// Hands a result out, once it is cleared and on record.
///
/// # Errors
/// When result, clearance and receipt are not of one deal.
pub fn release<S, U: Use>(
    held: Held<S, U>,
    clearance: U::Clearance,
    receipt: U::Receipt,
) -> Result<Released<S>, ScopeMismatch> {
    held.scope.same_as(clearance.scope())?;
    held.scope.same_as(receipt.scope())?;
    // Both proofs are used up here: one clearance and one receipt release one result.
    drop((clearance, receipt));
    Ok(Released(held.sealed))
}
