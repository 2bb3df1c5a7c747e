const WIDTH = 30;

/** A line of a chart in which `most` is the longest. Whatever there is shows, be it one among a million. */
export function bar(dark: number, light: number, most: number): string {
  const width = (number: number): number => Math.ceil((number / most) * WIDTH);
  return '█'.repeat(width(dark)) + '░'.repeat(width(light)) || ' ';
}
