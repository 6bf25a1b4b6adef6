package sync

// A sharedLock is one lock for passes that overlap: it is held while any of them goes on. One goroutine owns it.
type sharedLock struct {
	locker Locker
	holds  int
	unlock func() error
}

// hold takes the lock, unless it is held already.
func (l *sharedLock) hold() error {
	if l.holds == 0 {
		unlock, err := l.locker.Lock()
		if err != nil {
			return err
		}
		l.unlock = unlock
	}
	l.holds++
	return nil
}

// release gives the lock back with the last hold.
func (l *sharedLock) release() error {
	if l.holds--; l.holds > 0 {
		return nil
	}
	return l.unlock()
}
