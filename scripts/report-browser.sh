#!/bin/sh
# Looks at a page of `qeval report` in a headless browser (Debian: chromium), at the widths of a
# desktop and a telephone, light and dark: report-browser.sh PAGE FOLDER. Leaves screenshots in
# FOLDER; fails where the page is wider than the window, where text has less than 4.5 times the
# luminance of its background (WCAG 2.1 AA) or is smaller than 9 pixels, where an image has no name
# or a table no caption, or where anything would be loaded. Exit code 77: no browser is installed.
set -eu
page=$1 folder=$2
browser=
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then
    browser=$name
    break
  fi
done
if [ -z "$browser" ]; then
  echo "no browser: apt-get install --no-install-recommends chromium"
  exit 77
fi
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The page's policy forbids scripts: the one that looks goes into a copy without it.
cat >"$work/look.js" <<'JS'
const problems = [];
const luminance = (c) => {
  const part = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
};
const rgb = (text) => (text.match(/[\d.]+/g) || []).map(Number);
const background = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c;
  }
  return matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0] : [255, 255, 255];
};
for (const details of document.querySelectorAll('details')) details.open = true;
if (document.documentElement.scrollWidth > innerWidth)
  problems.push(`page is ${document.documentElement.scrollWidth} wide, window ${innerWidth}`);
let least = 99, smallest = 99;
for (const e of document.body.querySelectorAll('*')) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
  if (['title', 'desc', 'script', 'style'].includes(e.tagName.toLowerCase())) continue;
  const style = getComputedStyle(e), svg = e.ownerSVGElement;
  const one = luminance(rgb(svg ? style.fill : style.color)), other = luminance(background(e));
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  least = Math.min(least, contrast);
  if (contrast < 4.5) problems.push(`contrast ${contrast.toFixed(2)}: ${e.textContent.slice(0, 40)}`);
  const scale = svg ? svg.getScreenCTM().a : 1, size = parseFloat(style.fontSize) * scale;
  smallest = Math.min(smallest, size);
  if (size < 9) problems.push(`text of ${size.toFixed(1)} pixels: ${e.textContent.slice(0, 40)}`);
}
for (const svg of document.querySelectorAll('svg[role=img]')) {
  const names = (svg.getAttribute('aria-labelledby') || '').split(' ');
  if (!names.every((id) => document.getElementById(id)?.textContent)) problems.push(`no name: ${svg.id}`);
}
for (const table of document.querySelectorAll('table')) {
  if (!table.caption?.textContent) problems.push('table without a caption');
  if ([...table.querySelectorAll('th')].some((th) => !th.scope)) problems.push('th without a scope');
}
if (performance.getEntriesByType('resource').length) problems.push('loads something');
const dark = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
const said = `LOOKED ${innerWidth} ${dark}: least contrast ${least.toFixed(2)}, smallest text ` +
  `${smallest.toFixed(1)} px; problems: ${problems.length ? problems.slice(0, 5).join(' | ') : 'none'}`;
parent.postMessage(said, '*');
JS
sed -e 's#<meta http-equiv="Content-Security-Policy"[^>]*>##' -e '/<\/body>/,$d' "$page" >"$work/page.html"
{ echo '<script>'; cat "$work/look.js"; echo '</script></body></html>'; } >>"$work/page.html"
cp "$page" "$work/plain.html"

failed=0
for scheme in light dark; do
  number=1
  [ "$scheme" = light ] || number=0
  # A window of a browser is 500 pixels wide at least: the telephone is a frame inside one.
  for width in 1280 390; do
    # A browser's window is 500 pixels wide at least: the page stands in a frame. It may not be looked
    # into from outside, so it says itself what it is like.
    for kind in page plain; do
      echo "<!DOCTYPE html><meta name=\"color-scheme\" content=\"light dark\">
<style>body{margin:0}iframe{border:0;width:${width}px;height:4000px}</style>
<script>onmessage = (e) => { document.title = e.data; }</script>
<iframe src=\"$kind.html\"></iframe>" >"$work/frame-$kind.html"
    done
    set -- --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
      --blink-settings=preferredColorScheme=$number --virtual-time-budget=3000
    "$browser" "$@" --window-size="$width,4000" \
      --screenshot="$folder/report-$width-$scheme.png" "file://$work/frame-plain.html" \
      >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    "$browser" "$@" --window-size=1280,4000 --dump-dom "file://$work/frame-page.html" \
      >"$work/dom" 2>"$work/log" || { cat "$work/log"; exit 1; }
    looked=$(sed -n 's#.*<title>\(LOOKED[^<]*\)</title>.*#\1#p' "$work/dom" | head -n 1)
    echo "${looked:-the page was not looked at}"
    case $looked in
      *"LOOKED $width $scheme"*"problems: none") ;;
      *) failed=1 ;;
    esac
  done
done
exit $failed
