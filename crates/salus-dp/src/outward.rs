//! Floating-point steps rounded towards a chosen side.
//!
//! Addition, multiplication, division and square root are correctly rounded by IEEE 754, so one
//! step outward bounds the true result. The platform's logarithms and exponentials promise less;
//! they get [`LIBM_STEPS`].

/// Steps outward after a function of the platform's mathematical library, whose documented error
/// stays below two units in the last place.
const LIBM_STEPS: u32 = 4;

pub(crate) fn up(x: f64) -> f64 {
    x.next_up()
}

pub(crate) fn down(x: f64) -> f64 {
    x.next_down()
}

fn steps_up(x: f64) -> f64 {
    (0..LIBM_STEPS).fold(x, |x, _| x.next_up())
}

fn steps_down(x: f64) -> f64 {
    (0..LIBM_STEPS).fold(x, |x, _| x.next_down())
}

pub(crate) fn ln_up(x: f64) -> f64 {
    steps_up(x.ln())
}

pub(crate) fn ln_down(x: f64) -> f64 {
    steps_down(x.ln())
}

/// ln(1 + x), not below the true value, for an `x` that is itself not below the true argument.
pub(crate) fn ln_1p_up(x: f64) -> f64 {
    steps_up(x.ln_1p())
}

pub(crate) fn tanh_up(x: f64) -> f64 {
    steps_up(x.tanh()).min(1.0)
}

pub(crate) fn exp_up(x: f64) -> f64 {
    steps_up(x.exp())
}

pub(crate) fn sqrt_up(x: f64) -> f64 {
    up(x.sqrt())
}

pub(crate) fn sqrt_down(x: f64) -> f64 {
    down(x.sqrt()).max(0.0)
}

pub(crate) fn mul_up(a: f64, b: f64) -> f64 {
    up(a * b)
}

pub(crate) fn div_up(a: f64, b: f64) -> f64 {
    up(a / b)
}

pub(crate) fn add_up(a: f64, b: f64) -> f64 {
    up(a + b)
}

/// An integer as a float that is not below it.
pub(crate) fn from_u128_up(n: u128) -> f64 {
    let x = n as f64;
    if n < (1 << 53) { x } else { up(x) }
}
