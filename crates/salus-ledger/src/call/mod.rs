//! What a transaction can ask for: one struct per kind, listed once.

mod account;
mod governance;
mod market;
mod permit;
mod registry;
mod review;

pub use account::{
    AttestationRef, CancelReservation, CommitReservation, DatasetUse, ExpireReservations,
    RecordRelease, RecordTick, Release, Reserve, Reserved, Tick,
};
pub use governance::{
    ActivateContract, AdmitMember, BindKey, ChangeConfig, KeyProof, MarkTime, MemberKey,
    ProofAlgorithm, PublishCrl, ReportEquivocation, RevokeKey, RevokeMember, SetMemberRoles,
};
pub use market::{
    CancelOrder, IssueFunds, JobKind, OpenDeal, Order, PostOrder, RedeemFunds, RefundDeal,
    SettleDeal,
};
pub use permit::{
    AmendPermit, ApplyForPermit, GrantPermit, Ground, PermitTerms, RefusePermit, ReleaseRule,
    RevocationReason, RevokePermit,
};
pub use registry::{
    AdvanceOptOutEpoch, ArtefactKind, CommitDataset, DeltaExponent, DeltaExponentError,
    DeviceClass, RegisterArtefact, RegisterDataset, RegisterDevice, RetireDevice, SetDatasetPolicy,
    WithdrawArtefact,
};
pub use review::{DecideReview, SetReviewRule, SubmitForReview};

use serde::{Deserialize, Serialize};

use crate::contract::Contract;

macro_rules! calls {
    ($($(#[$doc:meta])* $variant:ident, $word:literal, $contract:ident;)*) => {
        /// What a transaction asks for.
        ///
        /// # Privacy
        /// No variant has a field of free text. Ids of permits, receipts, jobs, deals, orders and
        /// artefacts are derived from transactions and cannot be chosen; persons are public keys
        /// made for one permit; hashes are salted before they come here.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Call {
            $($(#[$doc])* $variant($variant),)*
        }

        /// Which kind of call, without its content.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum Method {
            $($(#[$doc])* $variant,)*
        }

        impl Call {
            /// Its kind.
            #[must_use]
            pub const fn method(&self) -> Method {
                match self { $(Self::$variant(_) => Method::$variant,)* }
            }
        }

        impl Method {
            /// Every kind, in the order of the source: the inventory that tests compare.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word used in policies, explorers and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The contract whose rules decide it.
            #[must_use]
            pub const fn contract(self) -> Contract {
                match self { $(Self::$variant => Contract::$contract,)* }
            }
        }

        $(impl From<$variant> for Call {
            fn from(call: $variant) -> Self {
                Self::$variant(call)
            }
        })*
    };
}

calls! {
    /// Admits an organisation.
    AdmitMember, "members.admit", Members;
    /// Changes what an organisation may do.
    SetMemberRoles, "members.set-roles", Members;
    /// Ends a membership.
    RevokeMember, "members.revoke", Members;
    /// Binds a key to a member by a certificate; also how a certificate is rotated.
    BindKey, "members.bind-key", Members;
    /// Ends a key.
    RevokeKey, "members.revoke-key", Members;
    /// Publishes a certificate authority's revocation list.
    PublishCrl, "members.publish-crl", Members;
    /// Shows two votes of one validator for different blocks of one height.
    ReportEquivocation, "members.report-equivocation", Members;
    /// Replaces the platform configuration.
    ChangeConfig, "platform.change-config", Platform;
    /// Makes another version of a contract's rules effective at a height.
    ActivateContract, "platform.activate-contract", Platform;
    /// Registers a dataset and opens its privacy account.
    RegisterDataset, "datasets.register", Datasets;
    /// Commits to a dataset's next version.
    CommitDataset, "datasets.commit", Datasets;
    /// Sets who else has to sign whatever concerns a dataset.
    SetDatasetPolicy, "datasets.set-policy", Datasets;
    /// Registers a device by a salted commitment.
    RegisterDevice, "devices.register", Devices;
    /// Takes a device out of service.
    RetireDevice, "devices.retire", Devices;
    /// Applies for a permit.
    ApplyForPermit, "permits.apply", Permits;
    /// Grants a permit as applied for.
    GrantPermit, "permits.grant", Permits;
    /// Refuses an application.
    RefusePermit, "permits.refuse", Permits;
    /// Changes the terms of a granted permit.
    AmendPermit, "permits.amend", Permits;
    /// Revokes a permit.
    RevokePermit, "permits.revoke", Permits;
    /// Advances a holder's opt-out list.
    AdvanceOptOutEpoch, "optouts.advance", OptOuts;
    /// Charges and records a short job in one transaction.
    RecordRelease, "accounts.release", Accounts;
    /// Reserves budget for a long job.
    Reserve, "accounts.reserve", Accounts;
    /// Charges a long job against its reservation and records it.
    CommitReservation, "accounts.commit", Accounts;
    /// Returns a reservation that was not used.
    CancelReservation, "accounts.cancel", Accounts;
    /// Returns the reservations of a dataset that have run out.
    ExpireReservations, "accounts.expire", Accounts;
    /// Books money that was paid in.
    IssueFunds, "market.issue", Market;
    /// Books money that was paid out.
    RedeemFunds, "market.redeem", Market;
    /// Posts an order.
    PostOrder, "market.post-order", Market;
    /// Withdraws an order.
    CancelOrder, "market.cancel-order", Market;
    /// Matches orders: locks the price and reserves the budget.
    OpenDeal, "market.open-deal", Market;
    /// Records a deal's release and pays.
    SettleDeal, "market.settle-deal", Market;
    /// Returns the price and the budget of a deal that ran out.
    RefundDeal, "market.refund-deal", Market;
    /// Registers a model, an anonymised or a synthetic set.
    RegisterArtefact, "artefacts.register", Artefacts;
    /// Withdraws an artefact.
    WithdrawArtefact, "artefacts.withdraw", Artefacts;
    /// Asks for a block, so that the state has a recent time.
    MarkTime, "platform.mark-time", Platform;
    /// Records one answer of a standing question, whose first answer is charged for all.
    RecordTick, "accounts.tick", Accounts;
    /// Puts a release before the reviewers.
    SubmitForReview, "accounts.submit-review", Accounts;
    /// Approves or refuses what is under review.
    DecideReview, "accounts.decide-review", Accounts;
    /// Sets how many have to approve what goes out of a dataset without a bound.
    SetReviewRule, "accounts.set-review-rule", Accounts;
}

impl Call {
    /// What the call releases, if that is what it does.
    #[must_use]
    pub const fn release(&self) -> Option<&Release> {
        match self {
            Self::RecordRelease(call) => Some(&call.release),
            Self::RecordTick(call) => Some(&call.release),
            Self::CommitReservation(call) => Some(&call.release),
            Self::SettleDeal(call) => Some(&call.release),
            _ => None,
        }
    }
}

impl Method {
    /// Whether a call of this method records a receipt.
    #[must_use]
    pub const fn is_release(self) -> bool {
        matches!(
            self,
            Self::RecordRelease | Self::RecordTick | Self::CommitReservation | Self::SettleDeal
        )
    }
}
