"""A report that was written, as a browser reads it."""

from html import parser
import json

import made_up_run

from mammojax.report import html


class Page(parser.HTMLParser):
  """Collects tags, attributes, ids and text of a page."""

  def __init__(self, path):
    super().__init__()
    self.tags, self.attributes, self.texts = [], [], []
    self.feed(path.read_text('utf-8'))
    self.text = ' '.join(' '.join(self.texts).split())

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += [(tag, *pair) for pair in attrs]

  def handle_data(self, data):
    self.texts.append(data)

  def values(self, name):
    return [value for _, key, value in self.attributes if key == name]


def without_years():
  """metrics.json of a run on images without times and masks."""
  metrics = made_up_run.metrics()
  metrics['test'] = {'all': metrics['test']['all']}
  metrics['baselines']['masked'] = None
  return metrics


def page_of(folder, metrics):
  """The page of a workdir with metrics.json alone."""
  folder.mkdir(exist_ok=True)
  (folder / 'metrics.json').write_text(json.dumps(metrics))
  return Page(html.write(folder))
