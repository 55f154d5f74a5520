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

/// The rate of chance among people of whom there are `times` as many as were looked at, where each
/// success is about one of them.
///
/// `times` of 1 is [`wilson`]. Beyond it the rate itself is multiplied, and so are the ends of the
/// interval; what the interval's centre is moved towards one half is not.
pub(super) fn chance(successes: u64, attempts: u64, z: f64, times: f64) -> Rate {
    let own = wilson(successes, attempts, z);
    let rate = successes as f64 / attempts.max(1) as f64;
    Rate {
        value: (own.value + (times - 1.0) * rate).clamp(0.0, 1.0),
        lower: (times * own.lower).min(1.0),
        upper: (times * own.upper).min(1.0),
    }
}

/// The least part of the people that may be left to learn about.
const LEAST_ROOM: f64 = 0.2;

/// The part of an attack's success that the control group does not explain.
///
/// (a − c)/(1 − c), its error propagated to first order from those of a and c, held within 0
/// and 1, and no more than the attack's own upper bound.
///
/// 1 − c is taken for at least 0.2. What anybody guesses of nearly everybody leaves so few people
/// to learn about that the quotient's interval would be all of 0 to 1, with a leak or without; the
/// difference times five is bounded as well as the rates are. A leak about the few who are left is
/// still one, for the lower bound is above 0 where that of a − c is, but it weighs at most
/// 5 (1 − c): each person's weight is five at most.
///
/// # Source
/// Giomi et al. 2023, section 4.4, up to control rates of 0.8; from there on ours.
#[must_use]
pub fn residual(attack: Rate, control: Rate) -> Rate {
    let own = 1.0 - control.value;
    let room = own.max(LEAST_ROOM);
    let value = (attack.value - control.value) / room;
    // Half widths as the intervals had them before they were held within 0 and 1.
    let half = |rate: Rate| (rate.upper - rate.value).max(rate.value - rate.lower);
    // By how much the value falls where the control rate grows.
    let slope = if own < LEAST_ROOM { 1.0 } else { (1.0 - attack.value) / room };
    let error = (half(attack) / room).hypot(half(control) * slope / room);
    Rate {
        value: value.clamp(0.0, 1.0),
        lower: (value - error).clamp(0.0, 1.0),
        upper: (value + error).clamp(0.0, attack.upper.min(1.0)),
    }
}

/// The chance of `successes` or more in so many trials of equal chance, exact but for rounding.
pub(super) fn binomial_tail(successes: u64, trials: u64, chance: f64) -> f64 {
    if successes == 0 {
        return 1.0;
    }
    if chance <= 0.0 || chance >= 1.0 || successes > trials {
        return f64::from(u8::from(chance >= 1.0 && successes <= trials));
    }
    let ways = |k: f64| {
        let n = trials as f64;
        libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0)
    };
    let of = |k: u64| {
        let k = k as f64;
        (ways(k) + k * chance.ln() + (trials as f64 - k) * (-chance).ln_1p()).exp()
    };
    (successes..=trials).map(of).sum::<f64>().min(1.0)
}
