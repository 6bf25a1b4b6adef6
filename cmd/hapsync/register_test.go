package main

import "testing"

func TestLocalIP(t *testing.T) {
	ip, err := localIP(t.Context(), []string{"http://127.0.0.1:2379/"})
	if err != nil || ip.String() != "127.0.0.1" {
		t.Errorf("%s, %v", ip, err)
	}
	if ip, err := localIP(t.Context(), []string{"http://bad.invalid:1", "127.0.0.1:1"}); err != nil || !ip.IsLoopback() {
		t.Errorf("%s, %v", ip, err)
	}
	if _, err := localIP(t.Context(), []string{"http://bad.invalid:1"}); err == nil {
		t.Error("no error")
	}
}
