import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { Button, ToggleButton } from "react-aria-components";

import { ago, count } from "../../ui/format";
import { Pager } from "../../ui/pager";
import { Count, Explain, Page, Section, Table, Time } from "../../ui/parts";
import { Failed, Loading } from "../../ui/states";
import { devices, type DeviceAlert, type DeviceLine, type Devices, type FleetFigures, type Show } from "../api";
import { useAttended } from "../attended";
import { Choice } from "../parts";

/** How often the fleet is looked at: collectors publish every ten seconds unless told otherwise. */
const LOOK_MS = 10_000;
/** Half of the time after which an idle session ends. */
const ATTENDED_MS = 15 * 60_000;
/** How many versions are shown before the others are asked for. */
const FIRST_VERSIONS = 8;

const SHOWS: readonly (readonly [Show, string])[] = [
  ["all", "All devices"],
  ["alerts", "With any alert"],
  ["vulnerable", "Known vulnerabilities"],
  ["silent", "Silent"],
  ["low-battery", "Low battery"],
];

export function DevicesPage() {
  const filter = useSearch({ from: "/devices" });
  const [isHeld, setHeld] = useState(false);
  const isAttended = useAttended(ATTENDED_MS);
  const isLive = !isHeld && isAttended;
  const query = useQuery({ ...devices(filter), refetchInterval: isLive ? LOOK_MS : false });
  const again = () => void query.refetch();
  const { data, error } = query;
  return (
    <Page
      title="Devices"
      lead="The fleet as its last reports tell it: exact, for this site alone, and no patient among it. Every look is put on record."
    >
      {data === undefined ? (
        error === null ? (
          <Loading lines={8} />
        ) : (
          <Failed error={error} again={again} />
        )
      ) : (
        <>
          <div className="liveness">
            <span className={`tail ${error === null ? (isLive ? "live" : "") : "interrupted"}`}>
              {error !== null
                ? "interrupted; trying again. Below is what was last read,"
                : isLive
                  ? "live,"
                  : isHeld
                    ? "held,"
                    : "resting, since nobody was here,"}{" "}
              as of <Time value={data.at} /> UTC
            </span>
            <ToggleButton className="quiet" isSelected={isHeld} onChange={setHeld}>
              Hold
            </ToggleButton>
          </div>
          {data.fleet === null || data.fleet.devices === 0 ? <NoReport /> : <Fleet data={data} fleet={data.fleet} />}
        </>
      )}
    </Page>
  );
}

function NoReport() {
  return (
    <div className="state" role="status">
      <h2>No device has reported yet</h2>
      <p>
        Reports come in over MQTT, HTTP or files once a collector runs and devices are enrolled:
      </p>
      <ol className="commands">
        <li>
          <code>salus collect enrol DEVICE --key HEX</code>
        </li>
        <li>
          <code>salus collect run</code>
        </li>
      </ol>
      <p>This page fills by itself with the first report.</p>
    </div>
  );
}

function Fleet({ data, fleet }: { data: Devices; fleet: FleetFigures }) {
  return (
    <>
      <Figures data={data} fleet={fleet} />
      {/* Said when it changes, and not at every look. */}
      <p className="hidden" role="status">
        {count(fleet.known_vulnerabilities)} with known vulnerabilities, {count(fleet.silent)} silent,{" "}
        {count(fleet.low_battery)} with a low battery
      </p>
      <Versions fleet={fleet} />
      <List data={data} fleet={fleet} />
    </>
  );
}

function Figures({ data, fleet }: { data: Devices; fleet: FleetFigures }) {
  const { rules } = data;
  return (
    <dl className="figures fleet">
      <div>
        <dt>Devices</dt>
        <dd>
          <Link to="/devices" search={{}}>
            <Count value={fleet.devices} />
          </Link>
        </dd>
        <dd className="note">{count(fleet.active)} in use</dd>
      </div>
      <div>
        <dt>Last report</dt>
        <dd>{fleet.last_report === null ? "–" : ago(fleet.last_report, data.at)}</dd>
        <dd className="note">
          {fleet.last_report === null ? "none yet" : <Time value={fleet.last_report} />}
        </dd>
      </div>
      <Alerting
        show="vulnerable"
        number={fleet.known_vulnerabilities}
        of={fleet.active}
        word="Known vulnerabilities"
      >
        <p>
          Devices in use whose software has known CVEs: those that a device reports itself, and{" "}
          {rules.advisories === 0
            ? "advisories of the holder, of which there are none in collect.toml"
            : `${count(rules.advisories)} ${rules.advisories === 1 ? "advisory" : "advisories"} of the holder`}
          .
        </p>
      </Alerting>
      <Alerting show="silent" number={fleet.silent} of={fleet.active} word="Silent">
        <p>
          Devices in use that have missed {count(rules.missed_intervals)} of their own intervals.
        </p>
      </Alerting>
      <Alerting show="low-battery" number={fleet.low_battery} of={fleet.active} word="Low battery">
        <p>Devices in use whose charge is below {rules.low_battery_percent} %.</p>
      </Alerting>
    </dl>
  );
}

/** A number of devices to look at, which leads to them. */
function Alerting({
  show,
  number,
  of,
  word,
  children,
}: {
  show: Show;
  number: number;
  of: number;
  word: string;
  children: ReactNode;
}) {
  return (
    <div>
      <dt>
        <Explain word={word}>{children}</Explain>
      </dt>
      <dd className={number > 0 ? "refused" : undefined}>
        {number === 0 ? (
          "0"
        ) : (
          <Link to="/devices" search={{ show }} aria-label={`${count(number)}, ${word.toLowerCase()}: list them`}>
            <Count value={number} />
          </Link>
        )}
      </dd>
      <dd className="note">{of === 0 ? "none in use" : `${share(number, of)} of those in use`}</dd>
    </div>
  );
}

/** A share in whole percents, of which none that is something is shown as nothing, or as all. */
function share(part: number, whole: number): string {
  const percent = (100 * part) / whole;
  if (part === 0) return "0 %";
  if (percent < 1) return "under 1 %";
  return part < whole && percent > 99 ? "over 99 %" : `${Math.round(percent)} %`;
}

function Versions({ fleet }: { fleet: FleetFigures }) {
  const [all, setAll] = useState(false);
  const versions = all ? fleet.os_versions : fleet.os_versions.slice(0, FIRST_VERSIONS);
  const hidden = fleet.os_versions.length - versions.length;
  const most = Math.max(1, ...fleet.os_versions.map((one) => one.devices));
  return (
    <Section
      title="Versions of the operating system"
      aside={
        <span className="legend" aria-hidden="true">
          <i /> without <i className="refused" /> with known vulnerabilities
        </span>
      }
    >
      <ul className="bars versions">
        {versions.map((one) => (
          <li key={one.version}>
            <Link to="/devices" search={{ os: one.version }}>
              {one.version}
            </Link>
            <span className="bar" aria-hidden="true">
              <i style={{ width: `${(100 * (one.devices - one.vulnerable)) / most}%` }} />
              <i className="refused" style={{ width: `${(100 * one.vulnerable) / most}%` }} />
            </span>
            <span className="figure">
              {count(one.devices)}
              <small className={one.vulnerable > 0 ? "refused" : "muted"}>
                {one.vulnerable === 0
                  ? "none vulnerable"
                  : `${share(one.vulnerable, one.devices)} vulnerable`}
              </small>
            </span>
          </li>
        ))}
      </ul>
      {hidden > 0 || all ? (
        <p className="more">
          <Button className="quiet" aria-expanded={all} onPress={() => setAll(!all)}>
            {all ? "Fewer versions" : `${count(hidden)} more ${hidden === 1 ? "version" : "versions"}`}
          </Button>
        </p>
      ) : null}
    </Section>
  );
}

const ANY = "";

function List({ data, fleet }: { data: Devices; fleet: FleetFigures }) {
  const filter = useSearch({ from: "/devices" });
  const navigate = useNavigate();
  const go = (wanted: { show?: Show | undefined; os?: string | undefined }) =>
    void navigate({ to: "/devices", search: wanted, replace: true, resetScroll: false });
  const known = fleet.os_versions.map((one) => one.version);
  // A version that no device has any more may still stand in the address.
  const versions = filter.os === undefined || known.includes(filter.os) ? known : [...known, filter.os];
  return (
    <Section title="Devices of the fleet" aside={<span className="muted figure">{listed(data, fleet)}</span>}>
      <div className="filters">
        <Choice
          label="Alert"
          value={filter.show ?? "all"}
          options={SHOWS}
          onChange={(show) => go({ os: filter.os, show: show === "all" ? undefined : show })}
        />
        <Choice
          label="Operating system"
          value={`v${filter.os ?? ANY}`}
          options={[["v", "Any version"], ...versions.map((version) => [`v${version}`, version] as const)]}
          onChange={(os) => go({ show: filter.show, os: os === "v" ? undefined : os.slice(1) })}
        />
      </div>
      {data.devices.length === 0 ? (
        <div className="state" role="status">
          <p>
            {filter.show === undefined && filter.os === undefined
              ? "The fleet has no device."
              : "No device fits. That may be good news."}
          </p>
        </div>
      ) : (
        <Table label="Devices">
          <thead>
            <tr>
              <th scope="col">Device</th>
              <th scope="col">Kind</th>
              <th scope="col">Speciality</th>
              <th scope="col">Operating system</th>
              <th scope="col">Segment</th>
              <th scope="col" className="right">
                Battery
              </th>
              <th scope="col">Last report</th>
              <th scope="col">Alerts</th>
            </tr>
          </thead>
          <tbody>
            {data.devices.map((one) => (
              <Line key={one.device} one={one} now={data.at} />
            ))}
          </tbody>
        </Table>
      )}
      <Pager at={filter.after} next={data.next} field="after" />
    </Section>
  );
}

function listed(data: Devices, fleet: FleetFigures): string {
  const whole = data.listed === fleet.devices;
  return whole ? `${count(fleet.devices)} in all` : `${count(data.listed)} of ${count(fleet.devices)}`;
}

function Line({ one, now }: { one: DeviceLine; now: string }) {
  const isLow = one.alerts.some((alert) => alert.alert === "low-battery");
  return (
    <tr className={one.active ? undefined : "muted"}>
      <th scope="row">
        <code>{one.device}</code>
        {one.active ? null : <small className="muted"> not in use</small>}
      </th>
      <td>
        {one.device_type}
        <small className="muted under">
          {one.manufacturer} {one.model}
        </small>
      </td>
      <td>{one.speciality.replaceAll("-", " ")}</td>
      <td>
        {one.os_version}
        <small className="muted under">firmware {one.firmware_version}</small>
      </td>
      <td>{one.network_segment ?? <span className="muted">–</span>}</td>
      <td className={`right figure nowrap${isLow ? " refused" : ""}`}>
        {one.battery_percent === null ? <span className="muted">none</span> : `${Math.round(one.battery_percent)} %`}
      </td>
      <td className="nowrap">
        <time dateTime={one.heard} title={one.heard} className="figure">
          {ago(one.heard, now)}
        </time>
      </td>
      <td>
        {one.alerts.length === 0 ? (
          <span className="muted">–</span>
        ) : (
          <ul className="about">
            {one.alerts.map((alert) => (
              <li key={alert.alert}>
                <Alert alert={alert} />
              </li>
            ))}
          </ul>
        )}
      </td>
    </tr>
  );
}

function Alert({ alert }: { alert: DeviceAlert }) {
  switch (alert.alert) {
    case "known-vulnerabilities":
      return (
        <span className="refused">
          <Explain word={`${count(alert.cves.length)} known ${alert.cves.length === 1 ? "CVE" : "CVEs"}`}>
            <ul className="cves">
              {alert.cves.map((cve) => (
                <li key={cve}>
                  <code>{cve}</code>
                </li>
              ))}
            </ul>
          </Explain>
        </span>
      );
    case "silent":
      return <span className="refused">silent</span>;
    case "low-battery":
      return <span className="refused">low battery</span>;
  }
}
