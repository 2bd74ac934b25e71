// Which words differ between two texts?

const WORDS = 2000;
/** Languages that write without spaces have a word in every character. */
const WORD = /[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu;

function words(text) {
  const found = text.match(WORD) ?? [];
  return found.length <= WORDS ? found : [...found.slice(0, WORDS), found.slice(WORDS).join("")];
}

/** How long the longest common subsequence of what is left from (i, j) on is. */
function table(old, now) {
  const wide = now.length + 1;
  const long = new Uint16Array((old.length + 1) * wide);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      const at = i * wide + j;
      long[at] = old[i] === now[j] ? long[at + wide + 1] + 1 : Math.max(long[at + wide], long[at + 1]);
    }
  }
  return (i, j) => long[i * wide + j];
}

/** [[kind, text]] of kinds `same`, `gone` and `new`. */
export function wordDiff(before, after) {
  const [old, now] = [words(before), words(after)];
  const long = table(old, now);
  const pieces = [];
  let gone = "";
  let come = "";
  let same = "";
  const close = () => {
    if (gone) pieces.push(["gone", gone]);
    if (come) pieces.push(["new", come]);
    gone = come = "";
  };
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      same += old[i++];
      j++;
      continue;
    }
    // A space or a comma between two changes would only cut them into pieces.
    if (same && (gone || come) && !/[\p{L}\p{N}]/u.test(same)) {
      gone += same;
      come += same;
    } else if (same) {
      close();
      pieces.push(["same", same]);
    }
    same = "";
    if (j >= now.length || (i < old.length && long(i + 1, j) >= long(i, j + 1))) gone += old[i++];
    else come += now[j++];
  }
  close();
  if (same) pieces.push(["same", same]);
  return pieces;
}
