package configfile

import (
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// A mark tells a file from what it was before it was replaced or written.
type mark struct {
	inode uint64
	size  int64
	time  time.Time
}

// markOf is the mark of a file; zero where it cannot be told.
func markOf(path string) mark {
	info, err := os.Stat(path)
	if err != nil {
		return mark{}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return mark{}
	}
	return mark{stat.Ino, info.Size(), info.ModTime()}
}

// marksOf are the marks of files.
func marksOf(paths []string) []mark {
	marks := make([]mark, len(paths))
	for i, path := range paths {
		marks[i] = markOf(path)
	}
	return marks
}

// marks are those of files, of the map file, and of the one that is kept beside the managed one.
func (c *Files) marks(paths []string) []mark {
	mapFile, _ := c.mapFile()
	return append(marksOf(paths), markOf(mapFile), markOf(c.keyedFile()))
}

// FileState is what the files say of some backends, or, without names, of all.
func (c *Files) FileState(f Reading, names []string) haproxy.State {
	file := f.Managed.Config
	if len(names) > 0 {
		file = file.Only(names, c.frontends)
	}
	return haproxy.State{
		File:   file,
		Digest: f.Digest, BaseDigest: f.BaseDigest,
		Missing: strings.TrimSpace(f.Text) == "", Foreign: f.Managed.Foreign, Behind: f.Managed.Behind, Exact: f.Managed.Exact, AnyPort: f.Managed.AnyPort, StaleMap: f.Managed.StaleMap, Wildcards: f.Managed.Wildcards, Needed: f.Managed.Needed,
		Given: f.Managed.Given, Own: f.Managed.Own, Unclaimed: f.Unclaimed,
		Binds: f.Base.Binds,
	}
}

// documents are those of the files that were read.
func (f Reading) documents() []Document {
	docs := make([]Document, len(f.sources))
	for i, src := range f.sources {
		docs[i] = src.doc
	}
	return docs
}
