package registry

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A KeyValue is a key in etcd and its value. Neither is to be trusted. It is comparable.
type KeyValue struct {
	Key, Value string
	// Created is the revision that created the key, but only for the key aliases, whose age matters; otherwise 0.
	Created Revision
}

// Limits of what is kept of the registry. What is cut off was bad anyway.
const (
	// MaxValue is longer, in bytes, than any good value except that of aliases.
	MaxValue = maxChecked + 1
	// maxProblems are kept of one domain, and of all names that cannot be a domain. One more problem counts the rest.
	maxProblems = 100
	// maxIgnored names are kept as examples of ignored keys.
	maxIgnored = 5
)

// CutKey returns the key. A key that is too long to be good is cut; a hash keeps it different from others.
func CutKey(prefix, key string) string {
	longest := max(maxKey, len(prefix)+maxDomain+MaxHost+len("///maxconn"))
	if len(key) <= longest {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:longest] + "..." + hex.EncodeToString(sum[:8])
}

// Ignored counts the keys that mean nothing to hapsync. They do not hold anything.
type Ignored struct {
	Keys int
	// Names are some of the last parts of those keys, sorted and printable.
	Names []string
}

// String is one line with the count and the names; empty if there are no such keys.
func (i Ignored) String() string {
	keys := "keys mean"
	switch i.Keys {
	case 0:
		return ""
	case 1:
		keys = "key means"
	}
	return fmt.Sprintf("%d %s nothing to hapsync, such as %s", i.Keys, keys, strings.Join(i.Names, ", "))
}

// with counts one more key.
func (i Ignored) with(name string) Ignored {
	i.Keys++
	if name == "" {
		name = `""`
	}
	return i.named(OneLine(name[:min(len(name), MaxQuoted)]))
}

func (i Ignored) named(name string) Ignored {
	if at, there := slices.BinarySearch(i.Names, name); !there && at < maxIgnored {
		i.Names = slices.Insert(slices.Clone(i.Names), at, name)
		i.Names = i.Names[:min(len(i.Names), maxIgnored)]
	}
	return i
}

// Add returns the sum of both.
func (i Ignored) Add(other Ignored) Ignored {
	i.Keys += other.Keys
	for _, name := range other.Names {
		i = i.named(name)
	}
	return i
}

// Decode reads the keys below the prefix, in any order. It does not change kvs, and its results share no memory with kvs. It
// skips keys that are neither the prefix nor below it. The domains and all lists in them are sorted by name, the problems by
// key. It returns at most 100 problems of each domain. A host whose address is refused has a bad value.
func Decode(prefix string, kvs []KeyValue, addresses Addresses) ([]*Domain, []Problem, Ignored) {
	prefix = strings.TrimRight(prefix, "/")
	d := decoder{root: prefix + "/", addresses: addresses}
	kvs = inOrder(kvs)
	if _, there := slices.BinarySearchFunc(kvs, prefix, KeyOrder); there && prefix != "" {
		d.report(prefix, errPrefix)
	}
	for name, keys := range runs(d.below(kvs), len(d.root)) {
		d.domain(name, keys)
	}
	domains := d.withUnclear(d.domains())
	d.problems = append(d.problems, cut(d.unnamed, d.root, "domains with a bad name")...)
	slices.SortFunc(d.problems, CompareProblems)
	return domains, d.problems, d.ignored
}

// decoder collects the results of Decode.
type decoder struct {
	root      string // the prefix and a slash
	addresses Addresses
	spellings []spelling
	unclear   []*Domain // of spellings with only unclear keys
	problems  []Problem
	unnamed   []Problem // of names that cannot be a domain
	ignored   Ignored
}

// cut returns the first maxProblems problems, and one more that counts the rest.
func cut(problems []Problem, key, what string) []Problem {
	more := len(problems) - maxProblems
	if more <= 0 {
		return problems
	}
	problems = slices.Clone(problems[:maxProblems])
	return append(problems, NewProblem(key, fmt.Errorf("there are %d more %s, which are not shown", more, what)))
}

func (d *decoder) report(key string, err error) {
	d.problems = append(d.problems, NewProblem(key, err))
}

// leaveOut reports a problem that leaves out a whole domain.
func (d *decoder) leaveOut(key, name string, err error) {
	p := NewProblem(key, err)
	p.Domain = Quote(name)
	d.problems = append(d.problems, p)
}

// below returns the keys below the prefix. The keys are sorted.
func (d *decoder) below(kvs []KeyValue) []KeyValue {
	from, there := slices.BinarySearchFunc(kvs, d.root, KeyOrder)
	if there {
		d.report(d.root, errPrefix)
		from++
	}
	to := from
	for to < len(kvs) && strings.HasPrefix(kvs[to].Key, d.root) {
		to++
	}
	return kvs[from:to]
}

// domain reads the keys of one spelling of one domain.
func (d *decoder) domain(name string, keys []KeyValue) {
	if err := CheckDomain(name); err != nil {
		p := NewProblem(keys[0].Key, err)
		p.Domain = Quote(name)
		d.unnamed = append(d.unnamed, p)
		return
	}
	s := newSpelling(name, keys[0].Key)
	s.addresses = d.addresses
	at := len(d.root) + len(name) + len("/")
	if len(keys[0].Key) < at {
		s.report(keys[0].Key, errDomainKey)
		keys = keys[1:]
	}
	for name, keys := range runs(keys, at) {
		s.child(name, keys, at+len(name)+len("/"))
	}
	d.ignored = d.ignored.Add(s.ignored)
	s.problems = cut(s.problems, d.root+name, "problems of the domain")
	if !s.readable {
		d.problems = append(d.problems, s.problems...)
		if len(s.Unclear) > 0 {
			d.unclear = append(d.unclear, s.alone())
		}
		return
	}
	d.spellings = append(d.spellings, s)
}

// domains merges the spellings of each domain: one spelling wins, each other one is a problem.
func (d *decoder) domains() []*Domain {
	slices.SortFunc(d.spellings, func(a, b spelling) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.spelled, b.spelled))
	})
	domains := make([]*Domain, 0, len(d.spellings))
	for rest := d.spellings; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Name == rest[0].Name {
			n++
		}
		domains = append(domains, d.fold(rest[:n]))
		rest = rest[n:]
	}
	return domains
}

// withUnclear adds the domains that have only unclear keys to the sorted domains. Of several spellings the first one counts.
func (d *decoder) withUnclear(domains []*Domain) []*Domain {
	for _, u := range d.unclear {
		at, there := slices.BinarySearchFunc(domains, u.Name, (*Domain).CompareName)
		if !there {
			domains = slices.Insert(domains, at, u)
		}
	}
	return domains
}

// fold merges the sorted spellings of one domain. The spelling in lower case wins, which sorts last; without it the first one.
func (d *decoder) fold(same []spelling) *Domain {
	winner := 0
	if last := len(same) - 1; same[last].spelled == same[last].Name {
		winner = last
	}
	for i, s := range same {
		if i == winner {
			d.problems = append(d.problems, s.problems...)
			continue
		}
		d.leaveOut(s.first, s.spelled, fmt.Errorf("domain %s is the same as %s, and only the latter is followed: delete one of them",
			Quote(s.spelled), Quote(same[winner].spelled)))
	}
	return same[winner].alone()
}

// runs splits the sorted keys into runs with the same segment at the offset.
func runs(kvs []KeyValue, at int) iter.Seq2[string, []KeyValue] {
	return func(yield func(string, []KeyValue) bool) {
		for len(kvs) > 0 {
			name, n := segment(kvs[0].Key, at), 1
			for n < len(kvs) && segment(kvs[n].Key, at) == name {
				n++
			}
			if !yield(name, kvs[:n]) {
				return
			}
			kvs = kvs[n:]
		}
	}
}

func segment(key string, at int) string {
	name, _, _ := strings.Cut(key[at:], "/")
	return name
}

// inOrder returns the keys in KeyOrder without duplicates. It copies kvs only if it has to.
func inOrder(kvs []KeyValue) []KeyValue {
	if ordered(kvs) {
		return kvs
	}
	kvs = slices.Clone(kvs)
	slices.SortFunc(kvs, func(a, b KeyValue) int {
		return cmp.Or(KeyOrder(a, b.Key), cmp.Compare(a.Value, b.Value))
	})
	return slices.CompactFunc(kvs, func(a, b KeyValue) bool { return a.Key == b.Key })
}

func ordered(kvs []KeyValue) bool {
	for i := range len(kvs) - 1 {
		if KeyOrder(kvs[i], kvs[i+1].Key) >= 0 {
			return false
		}
	}
	return true
}

// KeyOrder compares bytes, but a slash comes before all other bytes. So all keys below a name are adjacent, and names are in
// their own order. In etcd's order "a.com/ip" comes after "a.com-x/ip".
func KeyOrder(kv KeyValue, key string) int {
	n := min(len(kv.Key), len(key))
	for i := range n {
		a, b := kv.Key[i], key[i]
		switch {
		case a == b:
		case a == '/':
			return -1
		case b == '/':
			return 1
		default:
			return cmp.Compare(a, b)
		}
	}
	return cmp.Compare(len(kv.Key), len(key))
}
