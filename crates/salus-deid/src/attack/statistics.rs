//! Rates with intervals.

use serde::Serialize;

/// An estimate with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// The centre of the interval.
    pub value: f64,
    /// The lower end.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

/// The standard normal quantile of `probability`, strictly between 0 and 1.
///
/// Bisection on the complementary error function: exact to the last few bits, and nowhere a
/// rational approximation that could be mistyped.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-40.0f64, 40.0f64);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Wilson's score interval for `successes` of `attempts` at `z` standard deviations.
///
/// # Source
/// Wilson 1927, "Probable inference, the law of succession, and statistical inference".
#[must_use]
pub fn wilson(successes: u64, attempts: u64, z: f64) -> Rate {
    if attempts == 0 {
        return Rate { value: 0.5, lower: 0.0, upper: 1.0 };
    }
    let (s, n) = (successes as f64, attempts as f64);
    let value = (s + z * z / 2.0) / (n + z * z);
    let half = z / (n + z * z) * (s * (n - s) / n + z * z / 4.0).sqrt();
    Rate { value, lower: (value - half).max(0.0), upper: (value + half).min(1.0) }
}

/// The part of an attack's success that the control group does not explain.
///
/// (a − c)/(1 − c), its error propagated to first order from those of a and c, held within 0
/// and 1. With a control rate of 1 nothing is left to measure: the interval is all of 0 to 1.
///
/// # Source
/// Giomi et al. 2023, section 4.4.
#[must_use]
pub fn residual(attack: Rate, control: Rate) -> Rate {
    let room = 1.0 - control.value;
    if room <= 0.0 {
        return Rate { value: 0.0, lower: 0.0, upper: 1.0 };
    }
    let value = (attack.value - control.value) / room;
    // Half widths as the intervals had them before they were held within 0 and 1.
    let half = |rate: Rate| (rate.upper - rate.value).max(rate.value - rate.lower);
    let error = (half(attack) / room).hypot(half(control) * (attack.value - 1.0) / (room * room));
    Rate {
        value: value.clamp(0.0, 1.0),
        lower: (value - error).clamp(0.0, 1.0),
        upper: (value + error).clamp(0.0, 1.0),
    }
}
