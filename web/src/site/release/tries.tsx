import type { EChartsCoreOption, EChartsType } from "echarts/core";
import { useEffect, useRef } from "react";
import { Button } from "react-aria-components";

import { Explain, Table } from "../../ui/parts";
import { useIsDark } from "../../ui/theme";
import { number as figure } from "../answer";
import { box, echarts, FONT, look, scale, type Look } from "../plot";
import type { Tried } from "./contract";
import { percent, score as scoreShown } from "./words";

/** What the utility of a try is measured by. */
export interface Utility {
  name: string;
  meaning: string;
}

export const GRANULARITY: Utility = {
  name: "Granularity",
  meaning:
    "How fine the published values still are, on average over quasi-identifiers and records: 1 is untouched, 0 says nothing but that there is a record.",
};

export const ACCURACY: Utility = {
  name: "Accuracy kept",
  meaning:
    "Of what the untouched columns tell of the target beyond its most frequent value, the share that a model learns from the release: 1 keeps all of it.",
};

function drawn(tried: Tried[], least: number, best: number | null, utility: Utility, at: Look): EChartsCoreOption {
  const shown = tried.filter((one) => one.score !== null && one.utility !== null);
  const low = Math.min(least, ...shown.map((one) => one.score ?? 0));
  const left = Math.min(1, ...shown.map((one) => one.utility ?? 1));
  return {
    animation: false,
    textStyle: { fontFamily: FONT, color: at.ink },
    backgroundColor: at.surface,
    grid: { left: 8, right: 24, top: 10, bottom: 4, outerBoundsMode: "same" },
    xAxis: {
      ...scale(at),
      min: Math.floor(left * 10) / 10 === 1 ? 0.9 : Math.floor(left * 10) / 10,
      max: 1,
      name: utility.name,
      nameLocation: "middle",
      nameGap: 26,
      nameTextStyle: { color: at.muted, fontSize: 12 },
    },
    yAxis: {
      ...scale(at),
      min: Math.max(0, Math.floor((low - 5) / 10) * 10),
      max: 100,
      name: "Score",
      nameTextStyle: { color: at.muted, fontSize: 12 },
    },
    tooltip: {
      trigger: "item",
      ...box(at),
      formatter: ({ dataIndex }: { dataIndex: number }) => {
        const one = shown[dataIndex];
        if (one === undefined) return "";
        const passes = one.passes ? "" : ", below what is asked for";
        return `Try ${one.number}: ${settings(one)}\nscore ${scoreShown(one.score ?? 0, least)}${passes}\n${utility.name.toLowerCase()} ${figure(one.utility ?? 0)}`;
      },
    },
    series: [
      {
        type: "scatter",
        data: shown.map((one) => ({
          value: [one.utility, one.score],
          symbol: "circle",
          symbolSize: one.number === best ? 20 : 11,
          itemStyle: {
            opacity: 1,
            color: one.passes ? at.accent : at.surface,
            borderColor: one.number === best ? at.ink : one.passes ? at.surface : at.muted,
            borderWidth: one.number === best ? 2.5 : 1.5,
          },
          label: {
            show: true,
            formatter: String(one.number),
            position: "right",
            color: one.number === best ? at.ink : at.muted,
            fontSize: 12,
            fontWeight: one.number === best ? 700 : 400,
          },
        })),
        labelLayout: { hideOverlap: true },
        markLine: {
          silent: true,
          symbol: "none",
          data: [{ yAxis: least }],
          lineStyle: { color: at.ink, type: "dashed", width: 1.25 },
          label: { formatter: `asked for: ${least}`, position: "insideStartTop", color: at.ink, fontSize: 12 },
        },
      },
    ],
  };
}

/** Score against utility, a point for each try, with the score that is asked for as a line. */
function Chart({ tried, least, best, utility }: { tried: Tried[]; least: number; best: number | null; utility: Utility }) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const isDark = useIsDark();
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = echarts.init(element, null, { renderer: "canvas" });
    chart.current = made;
    const resized = new ResizeObserver(() => made.resize());
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.dispose();
      chart.current = null;
    };
  }, []);
  useEffect(() => {
    chart.current?.setOption(drawn(tried, least, best, utility, look()), { notMerge: true });
  }, [tried, least, best, utility, isDark]);
  return (
    <div
      ref={place}
      className="chart"
      role="img"
      aria-label={`Score against ${utility.name.toLowerCase()} of ${tried.length} tries; the table below has the figures`}
    />
  );
}

/** The settings of a try, as people write them. */
export function settings({ settings: { k, l, t, suppression, local } }: Tried): string {
  return [
    k === null ? null : `k = ${k}`,
    l === null ? null : `l = ${l}`,
    t === null ? null : `t = ${t}`,
    local ? "local" : suppression === 0 ? "nothing suppressed" : `${percent(suppression)} suppressed`,
  ]
    .filter((word) => word !== null)
    .join(", ");
}

/** The tries of a search, as they come in. */
export function Tries({
  tried,
  least,
  best,
  utility,
  onTake,
}: {
  tried: Tried[];
  least: number;
  best: number | null;
  utility: Utility;
  onTake: ((one: Tried) => void) | null;
}) {
  const isTraining = utility === ACCURACY;
  return (
    <>
      <div className="panel">
        <Chart tried={tried} least={least} best={best} utility={utility} />
      </div>
      <div className="spaced">
      <Table label="Tries">
        <thead>
          <tr>
            <th scope="col" className="right">
              Try
            </th>
            <th scope="col">Settings</th>
            <th scope="col" className="right">
              Score
            </th>
            <th scope="col" className="right">
              <Explain word={utility.name}>
                <p>{utility.meaning}</p>
              </Explain>
            </th>
            {isTraining ? (
              <th scope="col" className="right">
                Granularity
              </th>
            ) : null}
            <th scope="col" className="right">
              <Explain word="Discernibility">
                <p>
                  How many others a record is alike to, squared and summed over the groups, as a share of the most there
                  could be; suppressed records count whole. Less is finer.
                </p>
              </Explain>
            </th>
            <th scope="col" className="right">
              Suppressed
            </th>
            <th scope="col" className="right">
              Smallest group
            </th>
            {onTake === null ? null : (
              <th scope="col">
                <span className="hidden">Take it</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {tried.map((one) => (
            <tr key={one.number} className={one.number === best ? "best" : undefined}>
              <th scope="row" className="right figure">
                {one.number}
              </th>
              <td>
                <span className="nowrap">{settings(one)}</span>
                {one.number === best ? <small className="below recommended">recommended</small> : null}
                {one.problem === null ? null : <small className="muted below">{one.problem}</small>}
              </td>
              <td className={`right figure${one.passes ? "" : " refused"}`}>{one.score === null ? "–" : scoreShown(one.score, least)}</td>
              <td className="right figure">{one.utility === null ? "–" : one.utility.toFixed(3)}</td>
              {isTraining ? <td className="right figure">{one.granularity === null ? "–" : one.granularity.toFixed(3)}</td> : null}
              <td className="right figure">{one.discernibility === null ? "–" : figure(one.discernibility)}</td>
              <td className="right figure">{one.suppressed === null ? "–" : one.suppressed.toLocaleString("en-GB")}</td>
              <td className="right figure">{one.smallest_group === null ? "–" : one.smallest_group.toLocaleString("en-GB")}</td>
              {onTake === null ? null : (
                <td>
                  {one.problem === null ? (
                    <Button className="quiet" aria-label={`Take the settings of try ${one.number}`} onPress={() => onTake(one)}>
                      Take
                    </Button>
                  ) : null}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </Table>
      </div>
    </>
  );
}
