use salus_ledger::contract::records::HolderOptOuts;
use salus_ledger::contract::records::MemberRecord;
use salus_ledger::{cbor, query};
use salus_model::MemberId;

use super::{MAX_RECORD_BYTES, cut, damaged, roles, standing};
use crate::explorer::answers::{
    KeyLine, MemberDetail, MemberLine, MemberPage, OptOutLine, OptOutPage,
};
use crate::explorer::index::Index;
use crate::store::{StoreError, View};

const MEMBERS: &[u8] = b"member/";
const OPT_OUTS: &[u8] = b"optouts/";

fn name(key: &[u8], prefix: &[u8]) -> String {
    String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned()
}

fn line(id: String, record: &MemberRecord) -> MemberLine {
    let (standing, standing_since) = standing(&record.standing);
    let (roles, since) = (roles(&record.roles), record.since.get());
    MemberLine { id, standing, standing_since, roles, since }
}

pub(in crate::explorer) fn page(
    view: &View,
    after: Option<&str>,
    limit: usize,
) -> Result<MemberPage, StoreError> {
    let after = after.map(|after| [MEMBERS, after.as_bytes()].concat());
    let mut items = Vec::new();
    for (key, value) in view.page(MEMBERS, after.as_deref(), limit + 1)? {
        let record = cbor::decode(&value, MAX_RECORD_BYTES).map_err(damaged("member"))?;
        items.push(line(name(&key, MEMBERS), &record));
    }
    let next = cut(&mut items, limit, |line: &MemberLine| line.id.clone());
    Ok(MemberPage { items, next })
}

pub(in crate::explorer) fn detail(
    view: &View,
    index: &Index,
    id: &MemberId,
) -> Result<Option<MemberDetail>, StoreError> {
    let Some(record) = query::member(view, id).map_err(damaged("member"))? else {
        return Ok(None);
    };
    let mut keys = Vec::new();
    for key in index.keys_of(id)? {
        let Some(record) = query::key(view, &key).map_err(damaged("key"))? else { continue };
        keys.push(KeyLine {
            key: key.to_string(),
            standing: standing(&record.standing).0,
            roles: roles(&record.roles),
            certificate: record.certificate.fingerprint.to_string(),
            not_before: record.certificate.not_before.to_string(),
            not_after: record.certificate.not_after.to_string(),
        });
    }
    let opt_outs = query::opt_outs(view, id).map_err(damaged("opt-out list"))?;
    let wallet = query::wallet(view, id).map_err(damaged("wallet"))?;
    Ok(Some(MemberDetail {
        line: line(id.to_string(), &record),
        keys,
        opt_outs: opt_outs.map(|list| opt_out_line(id.to_string(), &list)),
        wallet: wallet.map_or(0, salus_ledger::Money::get),
    }))
}

fn opt_out_line(holder: String, list: &HolderOptOuts) -> OptOutLine {
    OptOutLine { holder, epoch: list.epoch, root: list.root.to_string() }
}

pub(in crate::explorer) fn opt_outs(
    view: &View,
    after: Option<&str>,
    limit: usize,
) -> Result<OptOutPage, StoreError> {
    let after = after.map(|after| [OPT_OUTS, after.as_bytes()].concat());
    let mut items = Vec::new();
    for (key, value) in view.page(OPT_OUTS, after.as_deref(), limit + 1)? {
        let list = cbor::decode(&value, MAX_RECORD_BYTES).map_err(damaged("opt-out list"))?;
        items.push(opt_out_line(name(&key, OPT_OUTS), &list));
    }
    let next = cut(&mut items, limit, |line: &OptOutLine| line.holder.clone());
    Ok(OptOutPage { items, next })
}
