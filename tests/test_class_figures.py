"""Figures that name the classes of a table, whatever these are called."""

from matplotlib import cbook
import numpy as np
import pytest

from mammojax.report import classification, embeddings, examined_sweep, style

ODD = ['$\\bad$', 'cost $5 or $6', '_hidden', 'mass']
LONG = [
  'actinic keratosis', 'basal cell carcinoma', 'benign keratosis',
  'dermatofibroma', 'melanocytic nevi', 'melanoma', 'vascular lesion',
]  # fmt: skip
MANY = [f'{number:02d} of many classes' for number in range(60)]


def made_up(rng, names, num=120):
  classes = np.array(names)[np.arange(num) % len(names)]
  return {'plane_points': rng.normal(size=(num, 2)), 'plane_class': classes}


def drawn(kind, arrays):
  """The figure, and the texts in it that hold the names."""
  points, classes = arrays['plane_points'], arrays['plane_class']
  if kind == 'positive':
    figure = classification.plane(points, classes.tolist(), [classes[0]])
  elif kind == 'sweep':
    figure = examined_sweep.planes({'a $x$': arrays, 'b': arrays})
  else:
    shares = dict.fromkeys(classes.tolist(), 0.5)
    figure = embeddings.by_class(shares, None, 10)
    return figure, figure.axes[0].get_yticklabels()
  return figure, figure.legends[0].get_texts()


@pytest.mark.parametrize('kind', ['positive', 'sweep', 'neighbours'])
@pytest.mark.parametrize(
  'names', [ODD, LONG, MANY], ids=['odd', 'long', 'many']
)
def test_every_class_is_named_inside_the_figure(kind, names, rng):
  figure, texts = drawn(kind, made_up(rng, names))
  assert len(texts) == len(names)
  with style.context():
    figure.draw_without_rendering()
  width, height = figure.canvas.get_width_height()
  for text in texts:
    assert not cbook.is_math_text(text.get_text())
    box = text.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= width, text.get_text()
    assert box.y0 >= 0 and box.y1 <= height, text.get_text()
  # The legend leaves the panels most of their height.
  panel = figure.axes[0].get_window_extent()
  assert panel.height > 100


def test_a_class_looks_the_same_in_every_panel_and_in_the_legend(rng):
  first, second = made_up(rng, LONG), made_up(rng, LONG[1:])
  figure = examined_sweep.planes({'all': first, 'without one': second})
  legend = figure.legends[0]
  looks = {
    text.get_text(): (key.get_color(), key.get_marker())
    for text, key in zip(legend.get_texts(), legend.legend_handles, strict=True)
  }
  for axes, names in zip(figure.axes, (LONG, LONG[1:]), strict=False):
    found = [(line.get_color(), line.get_marker()) for line in axes.lines]
    assert found == [looks[name] for name in names]
