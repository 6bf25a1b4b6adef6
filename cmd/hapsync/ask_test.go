package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"testing"
)

func TestAnAgentThatDoesNotAnswerIsSaidSo(t *testing.T) {
	for name, err := range map[string]error{
		"no answer":     &url.Error{Op: "Get", URL: "http://lb1/status", Err: context.DeadlineExceeded},
		"no connection": &url.Error{Op: "Get", URL: "http://lb1/status", Err: os.ErrDeadlineExceeded},
		"half a body":   context.DeadlineExceeded,
	} {
		got := inquiry{where: "lb1:9101"}.failed(err).Error()
		if got != "ask the agent on lb1:9101: it does not answer in time (10s): is it stopped or overloaded?" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := (inquiry{where: "lb1:9101"}).failed(errors.New("other")).Error(); got != "ask the agent on lb1:9101: other" {
		t.Errorf("another error: %s", got)
	}
}
