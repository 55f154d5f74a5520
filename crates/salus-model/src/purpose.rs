use std::fmt;

use serde::{Deserialize, Serialize};

/// What data are used for.
///
/// # Source
/// The care purposes are HL7 v3 PurposeOfUse; the secondary ones are Regulation (EU) 2025/327,
/// Art. 53(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Treatment of the person (primary use, `TREAT`).
    Treatment,
    /// Payment for care (primary use, `HPAYMT`).
    Payment,
    /// Running the care provider (primary use, `HOPERAT`).
    Operations,
    /// Public interest in public or occupational health (Art. 53(1)(a)).
    PublicHealth,
    /// Policy making and regulation (Art. 53(1)(b)).
    PolicyMaking,
    /// Official statistics (Art. 53(1)(c)).
    Statistics,
    /// Education or teaching in health or care (Art. 53(1)(d)).
    Education,
    /// Scientific research in health or care (Art. 53(1)(e)).
    Research,
    /// Improving delivery of care, treatment optimisation (Art. 53(1)(f)).
    CareImprovement,
}

impl Purpose {
    /// Whether this is secondary use, which needs a permit.
    #[must_use]
    pub const fn is_secondary(self) -> bool {
        !matches!(self, Self::Treatment | Self::Payment | Self::Operations)
    }

    /// The word used in files, APIs and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Treatment => "treatment",
            Self::Payment => "payment",
            Self::Operations => "operations",
            Self::PublicHealth => "public-health",
            Self::PolicyMaking => "policy-making",
            Self::Statistics => "statistics",
            Self::Education => "education",
            Self::Research => "research",
            Self::CareImprovement => "care-improvement",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
