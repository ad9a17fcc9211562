// Elements, and how times and shares are written.

export const el = (id) => document.getElementById(id);

/** Make an element; properties that start with "aria-" or "data-", and `role`, are attributes. */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (/^(aria-|data-|role$)/.test(name)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Set text only where it differs, so that what is read aloud or selected stays. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Seconds as m:ss or h:mm:ss. */
export function clock(seconds) {
  const whole = Math.floor(Math.max(0, seconds));
  const [hours, minutes, rest] = [whole / 3600, (whole / 60) % 60, whole % 60].map(Math.floor);
  const end = String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${end}` : `${minutes}:${end}`;
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/** Offer bytes for saving; the address stays valid while the page is open. */
export const saved = (text, type) => URL.createObjectURL(new Blob([text], { type }));
