"""Every document: console, HTML, JSON, CSV, Markdown, SVG. Pure: texts and times are passed in."""
