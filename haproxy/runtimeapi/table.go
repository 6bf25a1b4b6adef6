package runtimeapi

import (
	"bufio"
	"bytes"
	"errors"
)

// A table is the layout of a reply. Columns are found by their names in its header, never by position.
type table struct {
	csv bool
	// at has the position of each needed column, in the order of the constants below.
	at []int
	// width is the number of columns that a line must have. missing is the name of a needed column that the header does not have.
	width   int
	missing string
}

// The columns of "show servers state". Those before stateName are numbers.
const (
	stateOp = iota
	stateAdmin
	stateWeight
	stateLoaded
	stateResult
	stateCheck
	stateAgent
	statePort
	stateName
	stateAddr
	stateBackend
)

// The columns of "show stat".
const (
	statBackend = iota
	statServer
	statType
	statStatus
	statSessions
	statLimit
	statBackup
	statCookie
	statMode
	statAlgo
)

func newStateTable(header []byte) *table {
	return newTable(false, bytes.Fields(header), "srv_op_state", "srv_admin_state", "srv_uweight", "srv_iweight", "srv_check_result",
		"srv_check_state", "srv_agent_state", "srv_port", "srv_name", "srv_addr", "be_name")
}

func newStatTable(header []byte) *table {
	return newTable(true, bytes.Split(header, []byte(",")), "pxname", "svname", "type", "status", "scur", "slim", "bck",
		"cookie", "mode", "algo")
}

func newTable(csv bool, header [][]byte, names ...string) *table {
	t := &table{csv: csv, at: make([]int, len(names))}
	for i, name := range names {
		column := 0
		for column < len(header) && string(header[column]) != name {
			column++
		}
		if column == len(header) {
			t.missing = name
		}
		t.at[i] = column
		t.width = max(t.width, column+1)
	}
	return t
}

// cut appends the fields of a line, up to the last needed one.
func (t *table) cut(fields [][]byte, line []byte) [][]byte {
	for len(fields) < t.width {
		var field []byte
		var more bool
		if t.csv {
			field, line, more = cutCSV(line)
		} else {
			field, line, more = bytes.Cut(line, []byte(" "))
		}
		fields = append(fields, field)
		if !more {
			break
		}
	}
	return fields
}

// cutCSV cuts off the first field. HAProxy quotes a field with a comma, a quote or a newline, and doubles quotes.
func cutCSV(line []byte) (field, rest []byte, more bool) {
	if len(line) == 0 || line[0] != '"' {
		if comma := bytes.IndexByte(line, ','); comma >= 0 {
			return line[:comma], line[comma+1:], true
		}
		return line, nil, false
	}
	end := 1
	for end < len(line) {
		quote := bytes.IndexByte(line[end:], '"')
		if quote < 0 {
			end = len(line)
			break
		}
		end += quote
		if end+1 == len(line) || line[end+1] != '"' {
			break
		}
		end += 2
	}
	field = bytes.ReplaceAll(line[1:min(end, len(line))], []byte(`""`), []byte(`"`))
	_, rest, more = bytes.Cut(line[min(end, len(line)):], []byte(","))
	return field, rest, more
}

// maxRow is the longest accepted line of a reply. HAProxy's lines have less than a kilobyte.
const maxRow = 1 << 20

// A lineReader splits a reply into lines.
type lineReader struct {
	in   *bufio.Reader
	long []byte
}

// next is the next line without its end. It is valid until the next call. For the last, unfinished line the error is io.EOF. If quotes is
// set, a newline between two quotes belongs to the line.
func (l *lineReader) next(quotes bool) ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	if err == nil && (!quotes || bytes.Count(line, []byte(`"`))%2 == 0) {
		return line[:len(line)-1], nil
	}
	l.long = append(l.long[:0], line...)
	for err == nil || errors.Is(err, bufio.ErrBufferFull) {
		if len(l.long) > maxRow {
			return nil, errors.New("a line of more than a megabyte")
		}
		line, err = l.in.ReadSlice('\n')
		l.long = append(l.long, line...)
		if err == nil && (!quotes || bytes.Count(l.long, []byte(`"`))%2 == 0) {
			return l.long[:len(l.long)-1], nil
		}
	}
	return l.long, err
}
