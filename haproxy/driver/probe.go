package driver

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// maxStatusLine is how much of an answer is read, in bytes.
const maxStatusLine = 1024

// probe makes HAProxy's check of a server. The deadline is that of ctx.
func probe(ctx context.Context, addr netip.AddrPort, check haproxy.HealthCheck) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // as HAProxy does after a check
	}
	if check.Path == "" {
		return nil
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	request := "GET " + check.Path + " HTTP/1.1\r\nHost: " + check.Host + "\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxStatusLine)).ReadString('\n')
	if err != nil {
		return err
	}
	return goodStatus(line, cmp.Or(check.Status, "200-399"))
}

// goodStatus checks the status of the first line of an answer. codes are codes and ranges, separated by commas.
func goodStatus(line, codes string) error {
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(strings.TrimRight(rest, "\r\n"), " ")
	if _, err := strconv.Atoi(code); !strings.HasPrefix(version, "HTTP/1.") || err != nil || len(code) != 3 {
		return errors.New("the answer is not HTTP")
	}
	for good := range strings.SplitSeq(codes, ",") {
		from, to, _ := strings.Cut(good, "-")
		if from <= code && code <= cmp.Or(to, from) {
			return nil
		}
	}
	return fmt.Errorf("the answer has the status %s", code)
}
