import { Label, Slider, SliderThumb, SliderTrack } from "react-aria-components";

/** Steps of the ε control: equal on a scale of ratios. */
export const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5];

/** How much ε is spent, from private to exact. */
export function Spend({ step, onStep }: { step: number; onStep: (step: number) => void }) {
  return (
    <Slider
      className="slider"
      value={step}
      onChange={(value) => onStep(Array.isArray(value) ? (value[0] ?? 0) : value)}
      minValue={0}
      maxValue={STEPS.length - 1}
      step={1}
    >
      <div className="slider-head">
        <Label>ε to spend</Label>
        <span className="figure">{STEPS[step]}</span>
      </div>
      <SliderTrack className="track">
        <SliderThumb className="thumb" aria-valuetext={`ε ${STEPS[step] ?? ""}`} />
      </SliderTrack>
      <div className="slider-ends muted" aria-hidden="true">
        <span>more private</span>
        <span>more exact</span>
      </div>
    </Slider>
  );
}
