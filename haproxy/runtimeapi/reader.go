package runtimeapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"

	"github.com/hapsync/hapsync/haproxy"
)

// A liveReader reads the replies to "show servers state" and "show stat". Only the first has the administrative state, only the second
// has cookies and limits. It is made for replies of ten megabytes.
type liveReader struct {
	// wanted are the backends to keep; nil means all. HAProxy also shows others: "show stat 4_x" shows proxy number 4 if no proxy is
	// called 4_x.
	wanted map[string]bool
	byName map[string]*joinedBackend
	order  []*joinedBackend
	// last is the backend of the previous line.
	last *joinedBackend
	// states are the backends whose "show servers state" is still to come, in this order; absent are those that the process does not have,
	// by its own answer.
	states []string
	absent map[string]bool
	// row reads a line of the current table; nil outside of one.
	row    func(fields [][]byte) error
	table  *table
	fields [][]byte
	words  map[string]string
	info   infoReader
	names  names
}

// A joinedBackend is a backend that is only partly read. seen is set once its own "show stat" line was read.
type joinedBackend struct {
	Backend
	seen bool
	// next is the index where the next server of "show stat" is expected.
	next int
}

func newLiveReader(wanted []string) *liveReader {
	l := &liveReader{byName: map[string]*joinedBackend{}, words: map[string]string{}, absent: map[string]bool{}}
	if wanted != nil {
		l.wanted = make(map[string]bool, len(wanted))
	}
	for _, name := range wanted {
		l.wanted[name] = true
	}
	return l
}

// read reads the replies to a number of commands. Each reply ends with an empty line.
func (l *liveReader) read(r io.Reader, commands int) error {
	lines := lineReader{in: bufio.NewReaderSize(r, 64<<10)}
	l.row, l.table = nil, nil
	for {
		line, err := lines.next(l.table != nil && l.table.csv)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0 && commands == 0:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the answer is cut off after %q", clip(string(line), 80))
		case err != nil:
			return err
		case commands == 0:
			return fmt.Errorf("unexpected %q at the end of the answer", clip(string(line), 80))
		case l.info.expected:
			if err := l.info.line(line); err != nil {
				return err
			}
			if !l.info.expected {
				commands--
				l.names = l.names.of(l.info.worker)
			}
			continue
		case len(line) == 0:
			commands--
			l.row, l.table = nil, nil
			l.states = l.states[min(1, len(l.states)):]
			continue
		}
		if err := l.line(line); err != nil {
			return fmt.Errorf("%w in the line %q", err, clip(string(line), 80))
		}
	}
}

// line reads a line that is not empty.
func (l *liveReader) line(line []byte) error {
	if l.row != nil {
		l.fields = l.table.cut(l.fields[:0], line)
		if len(l.fields) < l.table.width {
			return errors.New("too few columns")
		}
		return l.row(l.fields)
	}
	header, isHeader := bytes.CutPrefix(line, []byte("# "))
	switch {
	case isHeader && bytes.HasPrefix(header, []byte("pxname,")):
		return l.open(newStatTable(header), l.statRow)
	case isHeader:
		return l.open(newStateTable(header), l.stateRow)
	case string(line) == "1", string(line) == "No such proxy.":
		return nil
	case string(line) == "Can't find backend.":
		if len(l.states) > 0 {
			l.absent[l.states[0]] = true
		}
		return nil
	}
	if err := checkNote(line); err != nil {
		return err
	}
	return errors.New("unexpected answer")
}

func (l *liveReader) open(t *table, row func([][]byte) error) error {
	l.table, l.row = t, row
	if t.missing != "" {
		return fmt.Errorf("no column %s", t.missing)
	}
	return nil
}

// backend finds or makes the backend of a name on the wire; nil if it is not wanted.
func (l *liveReader) backend(name []byte) *joinedBackend {
	if own, other := l.names.own[string(name)]; other {
		name = []byte(own)
	}
	if l.last != nil && l.last.Name == string(name) {
		return l.last
	}
	if b := l.byName[string(name)]; b != nil {
		l.last = b
		return b
	}
	if l.wanted != nil && !l.wanted[string(name)] {
		return nil
	}
	b := &joinedBackend{Backend: Backend{Name: string(name)}}
	l.byName[b.Name] = b
	l.order = append(l.order, b)
	l.last = b
	return b
}

// stateRow reads a line of "show servers state".
func (l *liveReader) stateRow(fields [][]byte) error {
	b := l.backend(fields[l.table.at[stateBackend]])
	if b == nil {
		return nil
	}
	s, err := stateServer(l.table, fields)
	if err == nil {
		b.Servers = append(b.Servers, s)
	}
	return err
}

// statRow reads a line of "show stat".
func (l *liveReader) statRow(fields [][]byte) error {
	at := l.table.at
	b := l.backend(fields[at[statBackend]])
	if b == nil {
		return nil
	}
	switch string(fields[at[statType]]) {
	case "1":
		b.seen = true
		b.Mode, b.Balance = l.word(fields[at[statMode]]), l.word(fields[at[statAlgo]])
		b.Cookie = l.word(fields[at[statCookie]])
		b.Unpublished = bytes.Contains(fields[at[statStatus]], []byte("UNPUB"))
		var err error
		if b.Sessions, err = number(fields[at[statSessions]]); err != nil {
			return err
		}
		if b.Balance == "" {
			return errors.New("HAProxy does not show addresses and cookies here: " +
				"the socket needs \"level admin\" in HAProxy's \"stats socket\" line")
		}
	case "2":
		return l.statServer(b, fields)
	}
	return nil
}

// statServer completes a server. HAProxy shows servers in the same order in both replies.
func (l *liveReader) statServer(b *joinedBackend, fields [][]byte) error {
	at, name := l.table.at, fields[l.table.at[statServer]]
	for range b.Servers {
		s := &b.Servers[b.next%len(b.Servers)]
		b.next = (b.next + 1) % len(b.Servers)
		if s.Name != string(name) {
			continue
		}
		s.Cookie = s.Name
		if cookie := fields[at[statCookie]]; s.Name != string(cookie) {
			s.Cookie = string(cookie)
		}
		s.Status = l.word(fields[at[statStatus]])
		s.Backup = string(fields[at[statBackup]]) == "1"
		var err error
		if s.MaxConn, err = number(fields[at[statLimit]]); err == nil {
			s.Sessions, err = number(fields[at[statSessions]])
		}
		return err
	}
	return nil
}

// word returns one string for all equal texts, since there are only few different ones.
func (l *liveReader) word(text []byte) string {
	word, ok := l.words[string(text)]
	if !ok {
		word = string(text)
		l.words[word] = word
	}
	return word
}

// The bits of srv_admin_state and srv_check_state in "show servers state". adminMaint does not contain 0x02, adminDrain not 0x10: these
// are inherited from a tracked server, and no command changes them.
const (
	adminMaint = 0x01 | 0x20 | 0x40 // by command, without address, by host name; not 0x04: it was "disabled" in the file
	adminDrain = 0x08
	checkThere = 0x02 // also in srv_agent_state
	checkOn    = 0x04
	// resultFailed is the srv_check_result of a failed check.
	resultFailed = 2
)

// stateServer reads a line of "show servers state".
func stateServer(t *table, fields [][]byte) (Server, error) {
	var numbers [stateName]int
	for i := range numbers {
		n, err := number(fields[t.at[i]])
		if err != nil {
			return Server{}, err
		}
		numbers[i] = n
	}
	s := Server{Server: haproxy.Server{
		Name:   string(fields[t.at[stateName]]),
		Weight: numbers[stateWeight],
		Check:  numbers[stateCheck]&checkThere != 0,
		State:  adminState(numbers[stateAdmin]),
	}, Agent: numbers[stateAgent]&checkThere != 0, LoadedWeight: numbers[stateLoaded]}
	if addr, err := netip.ParseAddr(string(fields[t.at[stateAddr]])); err == nil && numbers[statePort] <= 65535 {
		s.Addr = netip.AddrPortFrom(addr, uint16(numbers[statePort]))
	}
	s.Unchecked = s.Check && numbers[stateCheck]&checkOn == 0
	s.Down = s.Check && s.State == haproxy.Ready && numbers[stateOp] == 0
	s.Undecided = s.Down && numbers[stateResult] != resultFailed
	return s, nil
}

func adminState(bits int) haproxy.ServerState {
	switch {
	case bits&adminMaint != 0:
		return haproxy.Maint
	case bits&adminDrain != 0:
		return haproxy.Drain
	}
	return haproxy.Ready
}

// number is 0 for an empty field.
func number(text []byte) (int, error) {
	if len(text) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number", clip(string(text), 20))
	}
	return n, nil
}
