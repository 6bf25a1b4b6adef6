package web

import (
	"net/url"
	"strconv"
	"time"
)

// age is a time span in one unit: "45 s", "12 min", "4 h", "3 d".
func age(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " d"
	}
}

// moment is a time of today without its date, any other time with it.
func moment(t time.Time) string {
	t = t.Local()
	if now := time.Now(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}

// class is the level's CSS class.
func (l Level) class() string {
	return map[Level]string{LevelOK: "ok", LevelNotice: "warn", LevelTrouble: "bad"}[l]
}

// word is a mark for the level that needs no colors.
func (l Level) word() string {
	return map[Level]string{LevelOK: "\u25cf", LevelNotice: "\u25b2", LevelTrouble: "\u2716"}[l]
}

// took is a duration: "1.8 ms", "2.3 s".
func took(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

// A pager says which part of a list a page shows.
type pager struct {
	Total, Page, Pages, From, To int
	// Before and After are links to the neighbor pages; empty if there are none.
	Before, After string
}

func (r *request) pager(total, size int) pager {
	p := pager{Total: total, Pages: max(1, (total+size-1)/size)}
	page, _ := strconv.Atoi(r.FormValue("page"))
	p.Page = min(max(page, 1), p.Pages)
	p.From = (p.Page - 1) * size
	p.To = min(p.From+size, total)
	if p.Page > 1 {
		p.Before = r.link(p.Page - 1)
	}
	if p.Page < p.Pages {
		p.After = r.link(p.Page + 1)
	}
	return p
}

// older is the link to the history before a time; empty for none.
func (r *request) older(before string) string {
	if before == "" {
		return ""
	}
	query := url.Values{"before": {before}}
	if domain := r.FormValue("domain"); domain != "" {
		query.Set("domain", domain)
	}
	return "/history?" + query.Encode()
}

// link is the link to another page of the same list.
func (r *request) link(page int) string {
	query := url.Values{"page": {strconv.Itoa(page)}}
	if q := r.query(); q != "" {
		query.Set("q", q)
	}
	path := r.URL.EscapedPath()
	if path == "/" {
		path = "/domains"
	}
	return path + "?" + query.Encode()
}
