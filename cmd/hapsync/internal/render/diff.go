package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// diffContext is how many unchanged lines are shown around a change.
const diffContext = 3

// A pair is the place of an unchanged line in both texts.
type pair struct{ have, want int }

// Diff is the unified diff of two versions of a file; empty if they are equal.
func Diff(file, have, want string) string {
	if have == want {
		return ""
	}
	a, b := slices.Collect(strings.Lines(have)), slices.Collect(strings.Lines(want))
	stay := append(matches(nil, a, b, pair{}), pair{len(a), len(b)})
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", file, file)
	for _, h := range hunks(stay) {
		h.write(&out, a, b, stay)
	}
	return out.String()
}

// matches adds the unchanged lines, in order: those at the beginning and the end, those that are unique in both texts, and
// recursively those between. Lines that occur often may be missed, and shown as changed. at is where the texts begin.
func matches(found []pair, a, b []string, at pair) []pair {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		found = append(found, at)
		a, b, at = a[1:], b[1:], pair{at.have + 1, at.want + 1}
	}
	end := 0
	for end < min(len(a), len(b)) && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	a, b = a[:len(a)-end], b[:len(b)-end]
	last := pair{}
	if anchors := increasing(unique(a, b)); len(anchors) > 0 {
		for _, p := range append(anchors, pair{len(a), len(b)}) {
			found = matches(found, a[last.have:p.have], b[last.want:p.want], pair{at.have + last.have, at.want + last.want})
			if p.have < len(a) {
				found = append(found, pair{at.have + p.have, at.want + p.want})
			}
			last = pair{p.have + 1, p.want + 1}
		}
	}
	for i := range end {
		found = append(found, pair{at.have + len(a) + i, at.want + len(b) + i})
	}
	return found
}

// unique are the lines that each text has exactly once, in the order of the first text.
func unique(a, b []string) []pair {
	type count struct{ inA, inB, at int }
	counts := make(map[string]count, len(b))
	for i, line := range b {
		n := counts[line]
		counts[line] = count{0, n.inB + 1, i}
	}
	for _, line := range a {
		n := counts[line]
		n.inA++
		counts[line] = n
	}
	var once []pair
	for i, line := range a {
		if n := counts[line]; n.inA == 1 && n.inB == 1 {
			once = append(once, pair{i, n.at})
		}
	}
	return once
}

// increasing is the longest subsequence whose places in the second text increase, too.
func increasing(pairs []pair) []pair {
	var ends []int // the last pair of the best subsequence of each length
	before := make([]int, len(pairs))
	for i, p := range pairs {
		n, _ := slices.BinarySearchFunc(ends, p, func(end int, p pair) int { return cmp.Compare(pairs[end].want, p.want) })
		before[i] = -1
		if n > 0 {
			before[i] = ends[n-1]
		}
		ends = append(ends[:n], append([]int{i}, ends[min(n+1, len(ends)):]...)...)
	}
	if len(ends) == 0 {
		return nil
	}
	var best []pair
	for i := ends[len(ends)-1]; i >= 0; i = before[i] {
		best = append(best, pairs[i])
	}
	slices.Reverse(best)
	return best
}

// A hunk is a change with its context.
type hunk struct {
	from, to pair
	first    int // index of the first pair in it, or after it
}

// hunks are the changes between unchanged lines. Hunks whose contexts overlap are joined.
func hunks(stay []pair) []hunk {
	var all []hunk
	last := pair{-1, -1}
	for i, p := range stay {
		if p.have != last.have+1 || p.want != last.want+1 {
			from := max(0, i-diffContext)
			start := pair{last.have + 1, last.want + 1}
			for j := i - 1; j >= from && stay[j].have == start.have-1 && stay[j].want == start.want-1; j-- {
				start = stay[j]
			}
			end := p
			for j := i; j < min(i+diffContext, len(stay)-1) && stay[j] == end; j++ {
				end = pair{end.have + 1, end.want + 1}
			}
			if n := len(all); n > 0 && start.have <= all[n-1].to.have {
				all[n-1].to = end
			} else {
				all = append(all, hunk{from: start, to: end, first: from})
			}
		}
		last = p
	}
	return all
}

func (h hunk) write(out *strings.Builder, a, b []string, stay []pair) {
	at := func(from, n int) string {
		if n == 0 {
			return fmt.Sprintf("%d,0", from)
		}
		return fmt.Sprintf("%d,%d", from+1, n)
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", at(h.from.have, h.to.have-h.from.have), at(h.from.want, h.to.want-h.from.want))
	line := func(sign, text string) {
		out.WriteString(sign + text)
		if !strings.HasSuffix(text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
	i, now := h.first, h.from
	for now != h.to {
		for stay[i].have < now.have || stay[i].want < now.want {
			i++
		}
		stop := pair{min(stay[i].have, h.to.have), min(stay[i].want, h.to.want)}
		for ; now.have < stop.have; now.have++ {
			line("-", a[now.have])
		}
		for ; now.want < stop.want; now.want++ {
			line("+", b[now.want])
		}
		if now != h.to {
			line(" ", a[now.have])
			now = pair{now.have + 1, now.want + 1}
		}
	}
}
