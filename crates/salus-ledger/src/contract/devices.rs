//! Devices: salted commitments with a coarse class.

use super::records::DeviceRecord;
use super::{Context, Stop, misrouted};
use crate::call::{Call, RegisterDevice, RetireDevice};
use crate::policy::Role;
use crate::state::slot;
use crate::words::Commitment;

super::refusal::refusals! {
    /// Rules of the devices contract.
    DeviceRefusal {
        Exists { device: Commitment } = "devices.exists", "device {device} is registered already";
        Unknown { device: Commitment } = "devices.unknown", "there is no device {device}";
        Retired { device: Commitment } = "devices.retired", "device {device} is retired already";
        OneHolder = "devices.one-holder",
            "exactly one holder signs a device's registration, so that it is clear whose it is";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match call {
        Call::RegisterDevice(call) => register(call, cx),
        Call::RetireDevice(call) => retire(call, cx),
        other => Err(misrouted(other.method())),
    }
}

fn register(call: &RegisterDevice, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_role(Role::Holder)?;
    let mut holders = cx.endorsers.iter().filter(|e| e.roles.contains(&Role::Holder));
    let holder = match (holders.next(), holders.next()) {
        (Some(one), None) => one.member.clone(),
        _ => return Err(DeviceRefusal::OneHolder.into()),
    };
    let slot = slot::device(&call.device);
    if cx.view.holds(&slot)? {
        return Err(DeviceRefusal::Exists { device: call.device }.into());
    }
    let record = DeviceRecord { holder, class: call.class, retired: None };
    Ok(cx.view.write(&slot, &record)?)
}

fn retire(call: &RetireDevice, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let slot = slot::device(&call.device);
    let unknown = DeviceRefusal::Unknown { device: call.device };
    let mut record = cx.view.read(&slot)?.ok_or(unknown)?;
    cx.require_member_as(&record.holder, Role::Holder)?;
    if record.retired.is_some() {
        return Err(DeviceRefusal::Retired { device: call.device }.into());
    }
    record.retired = Some(cx.height);
    Ok(cx.view.write(&slot, &record)?)
}
