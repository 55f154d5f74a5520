use salus_model::{Class, Classified};

use super::{
    AccountRefusal, ArtefactRefusal, DatasetRefusal, DeviceRefusal, EndorsementRefusal,
    MarketRefusal, MemberRefusal, OptOutRefusal, PermitRefusal, PlatformRefusal, ReviewRefusal,
};

/// Declares a contract's refusals: each has the name of the rule, which stands on the ledger, and
/// a sentence for people, which does not.
macro_rules! refusals {
    ($(#[$doc:meta])* $name:ident {
        $($variant:ident $({ $($field:ident: $type:ty),* })? = $rule:literal, $says:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        pub enum $name {
            $(
                #[doc = $says]
                #[error($says)]
                $variant $({ $(
                    #[doc = concat!("The ", stringify!($field), " at fault.")]
                    $field: $type,
                )* })?,
            )*
        }

        impl $name {
            /// The rule that is broken, as it stands on the ledger.
            #[must_use]
            pub const fn rule(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $rule,)* }
            }

            /// Every rule of the contract.
            pub const RULES: &[&str] = &[$($rule,)*];
        }
    };
}
pub(crate) use refusals;

macro_rules! gather {
    ($($(#[$doc:meta])* $variant:ident($inner:ident);)*) => {
        /// The rule that a transaction breaks.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        pub enum Refusal {
            $($(#[$doc])* #[error(transparent)] $variant(#[from] $inner),)*
        }

        impl Refusal {
            /// The rule's name, as it stands on the ledger.
            #[must_use]
            pub const fn rule(&self) -> &'static str {
                match self { $(Self::$variant(inner) => inner.rule(),)* }
            }

            /// The names of all rules.
            #[must_use]
            pub fn rules() -> Vec<&'static str> {
                [$($inner::RULES,)*].concat()
            }
        }

        $(impl From<$inner> for super::Stop {
            fn from(refusal: $inner) -> Self {
                Self::Refused(refusal.into())
            }
        })*
    };
}

gather! {
    /// Who signed is not who has to.
    Endorsement(EndorsementRefusal);
    /// Members, keys and certificates.
    Members(MemberRefusal);
    /// Configuration and contract versions.
    Platform(PlatformRefusal);
    /// Datasets.
    Datasets(DatasetRefusal);
    /// Devices.
    Devices(DeviceRefusal);
    /// Permits.
    Permits(PermitRefusal);
    /// Opt-out lists.
    OptOuts(OptOutRefusal);
    /// Privacy accounts and receipts.
    Accounts(AccountRefusal);
    /// Money, orders and deals.
    Market(MarketRefusal);
    /// Artefacts.
    Artefacts(ArtefactRefusal);
    /// The release gate.
    Reviews(ReviewRefusal);
}

impl Classified for Refusal {
    fn class(&self) -> Class {
        Class::Refused
    }
}
