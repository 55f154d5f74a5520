const SIZE = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });

/** A number of bytes, in the unit that it has few digits in. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = bytes === 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${SIZE.format(bytes / 1000 ** step)} ${units[step] ?? ""}`;
}
