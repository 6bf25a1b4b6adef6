package configfile

// Foreign names, by domain, the ACLs and backends of the files that bear a name of ours without our shape, with their
// place: such a domain is left alone. The process is not asked.
func (c *Files) Foreign() (map[string]string, error) {
	f, err := c.Read()
	if err != nil {
		return nil, err
	}
	return f.Managed.Foreign, nil
}
