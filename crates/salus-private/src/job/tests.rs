#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{
    Date32Array, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};

use super::*;

fn texts(array: ArrayRef) -> Vec<Option<String>> {
    let array = as_texts(&in_days(array).unwrap()).unwrap();
    array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn a_moment_is_told_as_its_day_in_utc() {
    // 2026-01-05T23:30:00Z, and the last microsecond of 1969.
    let micros = vec![Some(1_767_655_800_000_000), None, Some(-1)];
    let wanted = [Some("2026-01-05".to_owned()), None, Some("1969-12-31".to_owned())];
    let plain = TimestampMicrosecondArray::from(micros.clone());
    let utc = TimestampMicrosecondArray::from(micros.clone()).with_timezone("UTC");
    // In this zone it is the sixth already; a day that hung on where somebody stood would tell two
    // days for one moment.
    let east = TimestampMicrosecondArray::from(micros).with_timezone("+01:00");
    for array in [plain, utc, east] {
        assert_eq!(texts(Arc::new(array)), wanted);
    }
    let millis = TimestampMillisecondArray::from(vec![1_767_655_800_000]);
    assert_eq!(texts(Arc::new(millis)), wanted[..1]);
}

#[test]
fn days_and_words_stay_what_they_are() {
    let words = StringArray::from(vec![Some("2026-01-05T23:30:00Z"), None]);
    assert_eq!(texts(Arc::new(words)), [Some("2026-01-05T23:30:00Z".to_owned()), None]);
    assert_eq!(texts(Arc::new(Date32Array::from(vec![0]))), [Some("1970-01-01".to_owned())]);
}
